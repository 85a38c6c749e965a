//! A Rust file as the rules see it.

/// A string literal of the code.
pub struct Literal {
    pub line: usize,
    pub text: String,
    pub in_test: bool,
}

pub struct Source {
    pub path: String,
    /// The text with comments and the contents of literals blanked; newlines
    /// stay, so lines and columns agree with the file.
    pub code: String,
    /// Only the comments; the rest blanked.
    pub comments: String,
    pub literals: Vec<Literal>,
    pub raw: String,
    /// Per line: inside an item behind `#[cfg(test)]`, or a file of tests.
    test_lines: Vec<bool>,
}

impl Source {
    pub fn parse(path: &str, text: &str) -> Self {
        let mut masked = Masked::new(text);
        masked.run();
        let code: String = masked.code.into_iter().collect();
        let comments: String = masked.comments.into_iter().collect();
        let test_lines = test_lines(path, &code);
        let literals = masked
            .literals
            .into_iter()
            .map(|(line, text)| {
                let in_test = test_lines.get(line - 1).copied().unwrap_or(false);
                Literal { line, text, in_test }
            })
            .collect();
        Self { path: path.to_owned(), code, comments, literals, raw: text.to_owned(), test_lines }
    }

    /// Lines of code with their numbers, tests left out.
    pub fn product_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code
            .lines()
            .enumerate()
            .filter(|(index, _)| !self.test_lines.get(*index).copied().unwrap_or(false))
            .map(|(index, line)| (index + 1, line))
    }

    /// Lines of code with their numbers.
    pub fn lines(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().map(|(index, line)| (index + 1, line))
    }
}

/// Whether the whole file is test code by its place.
pub fn is_test_path(path: &str) -> bool {
    let file = path.rsplit('/').next().unwrap_or(path);
    path.starts_with("e2e/")
        || path.contains("/tests/")
        || path.contains("/testing/")
        || path.contains("/benches/")
        || file == "tests.rs"
        || file == "testing.rs"
        || file.ends_with("_tests.rs")
}

/// Whether `word` occurs in `line` with no identifier character around it.
pub fn has_word(line: &str, word: &str) -> bool {
    find_word(line, word).is_some()
}

pub fn find_word(line: &str, word: &str) -> Option<usize> {
    let part_of_name = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).map(|(at, _)| at).find(|at| {
        let before = line[..*at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(part_of_name) && !after.is_some_and(part_of_name)
    })
}

/// The identifiers of a line.
pub fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty())
}

/// The words inside an identifier: `OrderId` and `order_id` are `order`, `id`.
pub fn segments(identifier: &str) -> Vec<String> {
    let mut words = Vec::new();
    for part in identifier.split('_') {
        let mut word = String::new();
        let mut last_lower = false;
        for c in part.chars() {
            if c.is_uppercase() && last_lower {
                words.push(std::mem::take(&mut word));
            }
            last_lower = !c.is_uppercase();
            word.extend(c.to_lowercase());
        }
        if !word.is_empty() {
            words.push(word);
        }
    }
    words
}

/// Index of the brace that closes the one at `open`, in blanked code.
pub fn closing_brace(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (index, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}

/// 1-based line of a byte offset.
pub fn line_of(code: &str, offset: usize) -> usize {
    code.as_bytes()[..offset].iter().filter(|byte| **byte == b'\n').count() + 1
}

fn test_lines(path: &str, code: &str) -> Vec<bool> {
    let count = code.lines().count();
    if is_test_path(path) {
        return vec![true; count];
    }
    let mut lines = vec![false; count];
    for (at, _) in code.match_indices("#[cfg(test)]") {
        let rest = &code[at..];
        let end = match (rest.find('{'), rest.find(';')) {
            (Some(open), semicolon) if semicolon.is_none_or(|semicolon| open < semicolon) => {
                closing_brace(code, at + open).unwrap_or(code.len() - 1)
            }
            (_, Some(semicolon)) => at + semicolon,
            _ => code.len() - 1,
        };
        let (first, last) = (line_of(code, at), line_of(code, end));
        for line in lines.iter_mut().take(last).skip(first - 1) {
            *line = true;
        }
    }
    lines
}

/// Splits a text into code and comments of the same shape.
struct Masked {
    chars: Vec<char>,
    at: usize,
    line: usize,
    code: Vec<char>,
    comments: Vec<char>,
    literals: Vec<(usize, String)>,
}

impl Masked {
    fn new(text: &str) -> Self {
        // Blanks are ASCII, and so must be what they replace for offsets to agree.
        let chars = text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();
        Self { chars, at: 0, line: 1, code: Vec::new(), comments: Vec::new(), literals: Vec::new() }
    }

    fn peek(&self, ahead: usize) -> char {
        self.chars.get(self.at + ahead).copied().unwrap_or('\0')
    }

    fn take(&mut self, is_code: bool, is_comment: bool) {
        let c = self.peek(0);
        if c == '\n' {
            self.line += 1;
        }
        let blank = if c == '\n' { '\n' } else { ' ' };
        self.code.push(if is_code { c } else { blank });
        self.comments.push(if is_comment { c } else { blank });
        self.at += 1;
    }

    fn run(&mut self) {
        while self.at < self.chars.len() {
            let inside_name = self.at > 0 && {
                let before = self.chars[self.at - 1];
                before.is_alphanumeric() || before == '_'
            };
            match (self.peek(0), self.peek(1)) {
                ('/', '/') => {
                    while self.at < self.chars.len() && self.peek(0) != '\n' {
                        self.take(false, true);
                    }
                }
                ('/', '*') => self.block_comment(),
                ('"', _) => self.string(),
                ('r', '"' | '#') if !inside_name => self.raw_string(1),
                ('b', '"') if !inside_name => {
                    self.take(true, false);
                    self.string();
                }
                ('b', 'r') if !inside_name && matches!(self.peek(2), '"' | '#') => {
                    self.raw_string(2)
                }
                ('\'', _) => self.quote(),
                _ => self.take(true, false),
            }
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.chars.len() {
            match (self.peek(0), self.peek(1)) {
                ('/', '*') => {
                    depth += 1;
                    self.take(false, true);
                }
                ('*', '/') => {
                    depth -= 1;
                    self.take(false, true);
                }
                _ => {}
            }
            self.take(false, true);
            if depth == 0 {
                return;
            }
        }
    }

    fn string(&mut self) {
        let line = self.line;
        let mut text = String::new();
        self.take(true, false);
        while self.at < self.chars.len() && self.peek(0) != '"' {
            if self.peek(0) == '\\' {
                self.take(false, false);
            }
            text.push(self.peek(0));
            self.take(false, false);
        }
        self.take(true, false);
        self.literals.push((line, text));
    }

    fn raw_string(&mut self, prefix: usize) {
        let hashes = (prefix..).take_while(|ahead| self.peek(*ahead) == '#').count();
        if self.peek(prefix + hashes) != '"' {
            // `r#name`, an identifier.
            self.take(true, false);
            return;
        }
        let line = self.line;
        for _ in 0..=prefix + hashes {
            self.take(true, false);
        }
        let mut text = String::new();
        while self.at < self.chars.len() {
            if self.peek(0) == '"' && (1..=hashes).all(|ahead| self.peek(ahead) == '#') {
                break;
            }
            text.push(self.peek(0));
            self.take(false, false);
        }
        for _ in 0..=hashes {
            self.take(true, false);
        }
        self.literals.push((line, text));
    }

    /// A character literal or a lifetime.
    fn quote(&mut self) {
        let length = match (self.peek(1), self.peek(2)) {
            ('\\', _) => (3..14).find(|ahead| self.peek(*ahead) == '\''),
            (_, '\'') => Some(2),
            _ => None,
        };
        self.take(true, false);
        if let Some(length) = length {
            for _ in 1..length {
                self.take(false, false);
            }
            self.take(true, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked_and_lines_kept() {
        let text = "let a = \"x { // no\"; // a {\nlet b = 'q'; /* { \n */ fn f<'a>() {}\nlet r = r#\"{\"\"#;";
        let source = Source::parse("src/a.rs", text);
        assert_eq!(source.code.lines().count(), 4);
        assert_eq!(source.code.matches('{').count(), 1);
        assert!(source.code.contains("fn f<'a>() {}"));
        assert!(source.comments.contains("// a {"));
        let literals: Vec<&str> = source.literals.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(literals, ["x { // no", "{\""]);
    }

    #[test]
    fn what_stands_behind_cfg_test_is_not_product_code() {
        let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n";
        let source = Source::parse("src/a.rs", text);
        let lines: Vec<usize> = source.product_lines().map(|(number, _)| number).collect();
        assert_eq!(lines, [1, 6]);
        assert_eq!(Source::parse("x/tests/it/a.rs", text).product_lines().count(), 0);
    }

    #[test]
    fn identifiers_fall_into_words() {
        assert_eq!(segments("OrderId"), ["order", "id"]);
        assert_eq!(segments("amount_minor"), ["amount", "minor"]);
        assert!(has_word("let f64 = 1", "f64") && !has_word("af64", "f64"));
    }
}
