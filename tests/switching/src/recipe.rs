//! The guide's page about the switch: the driver runs its SQL, and the new application contains its code.

use crate::{Failure, failure};

const PAGE: &str = include_str!("../../../src/guide/switching_over.md");
const NEW: &str = include_str!("new.rs");

/// The SQL of the page under this heading, which is a comment in the block's first line.
pub fn sql(heading: &str) -> Result<String, Failure> {
    let first = format!("-- {heading}\n");
    let found = blocks("sql").into_iter().find_map(|block| block.strip_prefix(&*first));
    Ok(found.ok_or_else(|| failure(&format!("the page has no SQL {heading:?}")))?.to_owned())
}

/// Checks that each block of Rust of the page, but for its imports and what it hides, is code of the new
/// application.
pub fn check_code() -> Result<usize, Failure> {
    let (mut count, new) = (0, squeezed(NEW));
    for block in blocks("rust") {
        let shown = block.lines().filter(|line| *line != "#" && !line.starts_with("# "));
        let shown: Vec<_> = shown.collect();
        let code = shown.join("\n");
        let code = after_imports(&code);
        if !new.contains(&squeezed(code)) {
            return Err(failure(&format!(
                "the new application does not contain this code:\n{code}"
            )));
        }
        count += 1;
    }
    Ok(count)
}

/// What follows the blank line after the imports.
fn after_imports(code: &str) -> &str {
    match code.starts_with("use ") {
        true => code.split_once("\n\n").map_or(code, |(_, rest)| rest),
        false => code,
    }
}

/// Without blanks and comments at the ends of lines, which depend on the place.
fn squeezed(code: &str) -> String {
    let lines = code.lines().map(|line| match line.split_once("//") {
        Some((code, _)) if !code.contains('"') => code,
        _ => line,
    });
    lines.flat_map(str::split_whitespace).collect()
}

fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let after = PAGE.split(&*fence).skip(1);
    after.filter_map(|rest| rest.split_once("```").map(|(block, _)| block)).collect()
}
