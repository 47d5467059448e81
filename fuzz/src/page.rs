//! What Prometheus asks of a page.

/// Reads `page` in the text format 0.0.4 or as OpenMetrics.
///
/// # Panics
/// If a line is none that Prometheus reads, or two series are the same.
pub fn assert_readable(page: &[u8]) {
    let page = std::str::from_utf8(page).expect("text");
    assert!(
        page.is_empty() || page.ends_with('\n'),
        "the last line is cut"
    );
    let mut series = Vec::new();
    for line in page.split_terminator('\n').filter(|line| !line.is_empty()) {
        match line.strip_prefix("# ") {
            Some(comment) => assert_comment(comment),
            None => series.push(read_sample(line)),
        }
    }
    series.sort_unstable();
    let twice = series.array_windows().find(|[one, other]| one == other);
    assert_eq!(twice, None);
}

fn assert_comment(comment: &str) {
    let mut words = comment.splitn(3, ' ');
    let (keyword, name) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let known = ["HELP", "TYPE", "UNIT"].contains(&keyword);
    assert!(known && is_name(name, true), "no such comment: {comment}");
}

/// Name and labels of the sample in `line`.
fn read_sample(line: &str) -> &str {
    let end = line.find(['{', ' ']).expect("a value");
    assert!(is_name(&line[..end], true), "no name: {line}");
    let rest = read_labels(&line[end..]);
    let series = &line[..line.len() - rest.len()];
    let rest = rest.strip_prefix(' ').expect("a space before the value");
    let (own, exemplar) = rest.split_once(" # ").unwrap_or((rest, ""));
    assert_numbers(own, line);
    if !exemplar.is_empty() {
        let numbers = read_labels(exemplar);
        assert_numbers(numbers.strip_prefix(' ').expect("a value"), line);
    }
    series
}

/// A value, and perhaps a time.
fn assert_numbers(text: &str, line: &str) {
    let numbers: Vec<&str> = text.split(' ').collect();
    assert!(numbers.len() <= 2, "too many numbers: {line}");
    for number in numbers {
        assert!(number.parse::<f64>().is_ok(), "no number: {line}");
    }
}

/// What follows the labels.
fn read_labels(text: &str) -> &str {
    let Some(mut rest) = text.strip_prefix('{') else {
        return text;
    };
    let mut names = Vec::new();
    loop {
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let (name, value) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name, false), "no name of a label: {text}");
        assert!(!names.contains(&name), "a label twice: {text}");
        names.push(name);
        let after = read_value(value);
        rest = after.strip_prefix(',').unwrap_or(after);
        assert!(
            rest.len() < after.len() || rest.starts_with('}'),
            "no comma: {text}"
        );
    }
}

/// What follows the quotation mark at the end of a value.
fn read_value(mut text: &str) -> &str {
    loop {
        let at = text.find(['"', '\\']).expect("the end of a value");
        let rest = &text[at + 1..];
        if text[at..].starts_with('"') {
            return rest;
        }
        text = rest
            .strip_prefix(['\\', '"', 'n'])
            .expect("what can be escaped");
    }
}

fn is_name(name: &str, of_metric: bool) -> bool {
    let is_start =
        |byte: u8| byte.is_ascii_alphabetic() || byte == b'_' || (of_metric && byte == b':');
    let mut bytes = name.bytes();
    bytes.next().is_some_and(is_start) && bytes.all(|byte| is_start(byte) || byte.is_ascii_digit())
}

/// Reads `page` as protobuf messages, each after its length.
///
/// # Panics
/// If the lengths do not add up.
pub fn assert_delimited(mut page: &[u8]) {
    while !page.is_empty() {
        let length = prost::decode_length_delimiter(&mut page).expect("a length");
        page = page.get(length..).expect("a whole message");
    }
}
