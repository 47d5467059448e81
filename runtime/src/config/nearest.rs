//! The name somebody probably meant.

/// The candidate closest to `name`, if it is close enough to be a slip of the
/// pen: about one wrong, missing, extra or swapped letter in three.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    // Longer names are not keys of ours, and the distance costs length times length.
    if name.len() > 100 {
        return None;
    }
    candidates
        .into_iter()
        .map(|candidate| {
            let letters: Vec<char> = candidate.to_lowercase().chars().collect();
            let limit = name.len().max(letters.len()).div_ceil(3);
            (distance(&name, &letters), limit, candidate)
        })
        .filter(|(distance, limit, _)| distance <= limit)
        .min_by_key(|(distance, _, _)| *distance)
        .map(|(_, _, candidate)| candidate)
}

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let changed = usize::from(a[i - 1] != b[j - 1]);
            let mut least = (above[j] + 1)
                .min(row[j - 1] + 1)
                .min(above[j - 1] + changed);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = above;
        above = row;
    }
    above[b.len()]
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn slips_of_the_pen_are_recognised() {
        let known = ["period", "listen", "endpoint"];
        for (written, meant) in [
            ("peroid", "period"),
            ("lisen", "listen"),
            ("listten", "listen"),
            ("ENDPOINT", "endpoint"),
            ("end_point", "endpoint"),
        ] {
            assert_eq!(nearest(written, known), Some(meant), "{written}");
        }
    }

    #[test]
    fn a_different_word_is_not_guessed_at() {
        let known = ["period", "listen", "endpoint"];
        for written in ["", "colour", "x", &"e".repeat(10_000)] {
            assert_eq!(nearest(written, known), None, "{written}");
        }
    }
}
