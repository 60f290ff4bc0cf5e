//! An answer's text cut into what it states: record fields and short statements.
//!
//! Whois has no grammar, but three habits hold over nearly all servers: records
//! are `key: value` lines, messages are short sentences, and legal text is long.
//! A [`Page`] keeps the first two and drops the third, so that terms of use that
//! talk about throttling are never read as a refusal.

use std::mem;

use crate::lexicon::{self, FieldClass, Lexicon, Senses};

/// Statements longer than this are prose, not messages, in characters. The longest
/// refusal among the recorded answers has 98.
const STATEMENT_MAX: usize = 120;
/// Paragraphs longer than this are legal text, in bytes. Those that refuse, among the
/// recorded answers, have at most 257.
const PARAGRAPH_MAX: usize = 400;
/// A line shorter than this is not wrapped, whatever follows, in bytes (chosen).
const WRAPPED_MIN: usize = 40;
/// How many lines are looked at (chosen).
const LINES_MAX: usize = 1_000;
/// How many statements are kept: more would take more memory than the answer (chosen, as many as lines).
const STATEMENTS_MAX: usize = 1_000;
/// Values and keys longer than these belong to no record field, in bytes (chosen).
const VALUE_MAX: usize = 300;
const KEY_MAX: usize = 40;

/// What an answer states.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// Fields of a record, in order.
    pub(crate) fields: Vec<Field>,
    /// Short statements outside legal text, in order: wrapped lines joined, marks of comments gone.
    pub(crate) statements: Vec<String>,
}

/// A `key: value` line whose value is not empty.
#[derive(Debug)]
pub(crate) struct Field {
    pub(crate) class: FieldClass,
    pub(crate) value: String,
}

impl Page {
    /// Reads text; the caller bounds its length. The lexicon tells a message from a field of an unknown key.
    pub(crate) fn read(text: &str, lexicon: &Lexicon) -> Page {
        let mut reader =
            Reader { page: Page::default(), lexicon, paragraph: Vec::new(), mark: "", open: None };
        for line in text.lines().take(LINES_MAX) {
            if lexicon::ends_the_answer(line) {
                break;
            }
            reader.line(line);
        }
        reader.end_paragraph();
        if text.trim_start().starts_with('<') {
            // A page of HTML is no record, whatever its styles and scripts look like.
            reader.page.fields.clear();
        }
        reader.page
    }

    /// Whether it states something, and all of it as fields.
    pub(crate) fn is_nothing_but_fields(&self) -> bool {
        self.statements.is_empty() && !self.fields.is_empty()
    }
}

struct Reader<'a> {
    page: Page,
    lexicon: &'a Lexicon,
    /// Lines of the paragraph so far, and its comment mark.
    paragraph: Vec<&'a str>,
    mark: &'a str,
    /// A key whose value may stand on the next line, deeper in.
    open: Option<(FieldClass, usize)>,
}

impl<'a> Reader<'a> {
    fn line(&mut self, line: &'a str) {
        let (mark, text) = split_mark(line);
        let depth = line.len() - line.trim_start().len();
        let open = self.open.take();
        if text.is_empty() {
            self.end_paragraph();
            // Some servers leave a blank line between a key and its value.
            self.open = open.filter(|_| line.trim().is_empty());
            return;
        }
        if mark != self.mark {
            self.end_paragraph();
            self.mark = mark;
        }
        if mark.is_empty() {
            match split_field(text) {
                Some((key, value)) => return self.field(key, value, depth, text),
                None if open.is_some_and(|(_, above)| depth > above) => {
                    return self.push(open.map_or(FieldClass::Other, |(class, _)| class), text);
                }
                None => {}
            }
        }
        self.paragraph.push(text);
    }

    fn field(&mut self, key: &str, value: &str, depth: usize, line: &'a str) {
        let class = lexicon::field_class(key);
        let is_message = class == FieldClass::Message
            || class == FieldClass::Other && self.lexicon.senses(line) != Senses::default();
        if is_message && lexicon::is_plain_key(key) {
            self.end_paragraph();
            self.paragraph.push(line);
        } else if is_message || class == FieldClass::Other && !lexicon::is_plain_key(key) {
            self.paragraph.push(line);
        } else if value.is_empty() {
            self.open = Some((class, depth));
        } else {
            self.end_paragraph();
            self.push(class, value);
        }
    }

    fn push(&mut self, class: FieldClass, value: &str) {
        let says = class == FieldClass::Status || !lexicon::is_no_value(value);
        if value.len() <= VALUE_MAX && says {
            self.page.fields.push(Field { class, value: value.to_owned() });
        }
    }

    fn end_paragraph(&mut self) {
        let lines = mem::take(&mut self.paragraph);
        let bytes: usize = lines.iter().map(|line| line.len() + 1).sum();
        if bytes <= PARAGRAPH_MAX && !lines.iter().any(|line| is_item(line)) {
            for text in unwrap_lines(&lines) {
                let room = STATEMENTS_MAX - self.page.statements.len();
                self.page.statements.extend(sentences(&text).take(room).map(str::to_owned));
            }
        }
    }
}

/// Takes the mark of a comment off a line: `%`, `%%`, `#`, `;`, `*`, `//` and their like.
pub(crate) fn split_mark(line: &str) -> (&str, &str) {
    let line = line.trim();
    if let Some(text) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return ("[", text.trim());
    }
    let text = line.trim_start_matches(['%', '#', ';', '*', '>', '-', '=', '/']);
    let mark = &line[..line.len() - text.len()];
    (mark, text.trim_end_matches(['*', '#', '%', '<', '=', '-']).trim())
}

/// Splits `key: value`, `key......: value`, `a. [key] value`, `key<TAB>value`, `cell | cell`, and known
/// keys before a gap.
pub(crate) fn split_field(line: &str) -> Option<(&str, &str)> {
    let bracket = line.find('[').filter(|&at| at == 0 || at <= 4 && line[..at].trim_end().ends_with('.'));
    let (key, value) = match bracket {
        Some(at) => line[at + 1..].split_once(']')?,
        None => split_key(line)?,
    };
    let key = key.trim_end_matches(['.', ' ', '\t', '_']).trim();
    let fits = !key.is_empty() && key.len() <= KEY_MAX && !value.starts_with("//");
    fits.then(|| (key, value.trim_start_matches(['.', ' ', '\t', ':']).trim()))
}

fn split_key(line: &str) -> Option<(&str, &str)> {
    line.split_once(" | ")
        .or_else(|| line.split_once(':'))
        .or_else(|| line.split_once('\t'))
        .or_else(|| split_at_gap(line))
}

/// Columns without a colon are fields only under a known key: justified prose has gaps too.
fn split_at_gap(line: &str) -> Option<(&str, &str)> {
    let (key, value) = line.split_once("   ")?;
    let known =
        key.len() <= KEY_MAX && !matches!(lexicon::field_class(key), FieldClass::Other | FieldClass::Message);
    known.then_some((key, value))
}

/// Joins lines that were wrapped: a long line without a full stop, then a small letter.
fn unwrap_lines(lines: &[&str]) -> Vec<String> {
    let mut joined: Vec<String> = Vec::new();
    let mut before = "";
    for line in lines {
        let wrapped = before.len() >= WRAPPED_MIN
            && !before.ends_with(['.', '!', '?', ':', ';'])
            && line.starts_with(|c: char| c.is_lowercase() || c.is_ascii_digit() || c == '(');
        match joined.last_mut() {
            Some(last) if wrapped => {
                last.push(' ');
                last.push_str(line);
            }
            _ => joined.push((*line).to_owned()),
        }
        before = line;
    }
    joined
}

/// Whether a line is an item of a list, `(a)` or `1)`: only terms of use enumerate.
fn is_item(line: &str) -> bool {
    let item = line.trim_start_matches('(').split_once(')').map_or("", |(item, _)| item);
    (1..=3).contains(&item.len()) && item.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// The sentences short enough to be messages. A stop inside a word or number ends none.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.split_inclusive(". ")
        .flat_map(|part| part.split_inclusive("! "))
        .map(str::trim)
        .filter(|sentence| !sentence.is_empty() && sentence.chars().count() <= STATEMENT_MAX)
}
