//! A configuration, and the environment that overrides it: a mistake is an error that names a place. The first byte chooses
//! the process; lines that begin with `$` are variables.

#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_fuzz::input::Input;
use weir_runtime::config::{ConfigError, Document};

fuzz_target!(|data: &[u8]| {
    let mut input = Input(data);
    let is_gateway = input.byte() & 1 == 0;
    let Ok(text) = std::str::from_utf8(input.0) else {
        return;
    };
    let (variables, lines): (Vec<&str>, Vec<&str>) =
        text.split('\n').partition(|line| line.starts_with('$'));
    let variables = variables
        .iter()
        .filter_map(|line| line[1..].split_once('='));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let lines = lines.join("\n");
    let parse = |prefix| Document::parse("file.yaml", &lines, prefix, variables);
    let read = if is_gateway {
        parse(weir_gateway::config::ENV_PREFIX)
            .and_then(|document| document.read(weir_gateway::Config::read))
            .map(drop)
    } else {
        parse(weir_agent::config::ENV_PREFIX)
            .and_then(|document| document.read(weir_agent::config::Config::read))
            .map(drop)
    };
    match read {
        Ok(()) => {}
        Err(ConfigError::Mistakes(mistakes)) => assert!(!mistakes.to_string().is_empty()),
        Err(error) => panic!("text is at hand: {error}"),
    }
});
