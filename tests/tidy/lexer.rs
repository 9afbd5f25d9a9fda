//! Just enough Rust to tell code from comments and texts.

/// A source text taken apart, line by line: `code[i]` has comments and the insides of texts blanked out,
/// `comments[i]` has what the comments of that line say.
pub struct Lines {
    pub code: Vec<String>,
    pub comments: Vec<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Code,
    LineComment,
    BlockComment(u32),
    Text,
    RawText(usize),
}

/// Takes a source text apart.
pub fn split(source: &str) -> Lines {
    let chars: Vec<char> = source.chars().collect();
    let mut lines = Lines { code: vec![String::new()], comments: vec![String::new()] };
    let (mut state, mut at) = (State::Code, 0);
    while at < chars.len() {
        if chars[at] == '\n' {
            lines.code.push(String::new());
            lines.comments.push(String::new());
            if state == State::LineComment {
                state = State::Code;
            }
            at += 1;
            continue;
        }
        let (next, taken) = step(state, &chars[at..], at.checked_sub(1).map(|before| chars[before]));
        let into = if is_comment(state) || is_comment(next) { &mut lines.comments } else { &mut lines.code };
        let shown = matches!((state, next), (State::Code, State::Code)) || is_comment(state);
        if let Some(line) = into.last_mut() {
            let text = chars[at..at + taken].iter();
            line.extend(text.map(|&c| if shown && c != '\n' { c } else { ' ' }));
        }
        // A taken newline (an escaped one in a text) still ends a line.
        for _ in chars[at..at + taken].iter().filter(|&&c| c == '\n') {
            lines.code.push(String::new());
            lines.comments.push(String::new());
        }
        at += taken;
        state = next;
    }
    lines
}

fn is_comment(state: State) -> bool {
    matches!(state, State::LineComment | State::BlockComment(_))
}

/// The state after the first characters of `rest`, and how many they are.
fn step(state: State, rest: &[char], before: Option<char>) -> (State, usize) {
    let second = rest.get(1).copied();
    match (state, rest[0], second) {
        (State::Code, '/', Some('/')) => (State::LineComment, 2),
        (State::Code, '/', Some('*')) => (State::BlockComment(1), 2),
        (State::Code, '"', _) => (State::Text, 1),
        (State::Code, 'r', Some('"' | '#')) if !before.is_some_and(is_word) || before == Some('b') => {
            let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
            if rest.get(1 + hashes) == Some(&'"') { (State::RawText(hashes), hashes + 2) } else { (state, 1) }
        }
        (State::Code, '\'', _) => (State::Code, char_literal(rest)),
        (State::BlockComment(depth), '/', Some('*')) => (State::BlockComment(depth + 1), 2),
        (State::BlockComment(1), '*', Some('/')) => (State::Code, 2),
        (State::BlockComment(depth), '*', Some('/')) => (State::BlockComment(depth - 1), 2),
        (State::Text, '\\', Some(_)) => (State::Text, 2),
        (State::Text, '"', _) => (State::Code, 1),
        (State::RawText(hashes), '"', _)
            if rest.len() > hashes && rest[1..=hashes].iter().all(|&c| c == '#') =>
        {
            (State::Code, hashes + 1)
        }
        _ => (state, 1),
    }
}

/// The length of a character literal, or 1 for the tick of a lifetime.
fn char_literal(rest: &[char]) -> usize {
    match (rest.get(1), rest.get(2)) {
        (Some('\\'), _) => {
            // The escaped character itself may be a tick.
            let end = rest.iter().skip(3).position(|&c| c == '\'');
            end.map_or(1, |end| end + 4)
        }
        (Some(_), Some('\'')) => 3,
        _ => 1,
    }
}

/// Whether a character can stand in an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The identifiers of a line of code, with the column each starts at.
pub fn words(code: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    for (at, c) in code.char_indices().chain([(code.len(), ' ')]) {
        match (start, is_word(c)) {
            (None, true) => start = Some(at),
            (Some(from), false) => {
                found.push((from, &code[from..at]));
                start = None;
            }
            _ => {}
        }
    }
    found
}

#[test]
fn comments_and_texts_are_not_code() {
    let source = "let a = \"unsafe // x\"; // says unsafe\nlet b = '\"'; /* todo! /* nested */ */ c();\nr#\"un\"safe\"# d<'a>('\\'')";
    let lines = split(source);
    assert_eq!(words(&lines.code[0]).iter().map(|w| w.1).collect::<Vec<_>>(), ["let", "a"]);
    assert!(lines.comments[0].contains("says unsafe"));
    assert_eq!(words(&lines.code[1]).iter().map(|w| w.1).collect::<Vec<_>>(), ["let", "b", "c"]);
    assert_eq!(words(&lines.code[2]).iter().map(|w| w.1).collect::<Vec<_>>(), ["d", "a"]);
}
