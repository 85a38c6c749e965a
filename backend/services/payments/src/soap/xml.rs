//! A small XML tree, read with limits and written back.
//!
//! Reading is streaming and linear; document types, processing instructions
//! and all but the five entities are refused, so nothing ever expands.
//! Namespaces are compared by URI, whatever the prefix.

use quick_xml::XmlVersion;
use quick_xml::events::{BytesEnd, BytesStart, BytesText, Event};
use quick_xml::name::ResolveResult;
use quick_xml::{NsReader, Writer};

use super::SOAP_NS;

/// An element with its namespace, text and children.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Element {
    pub namespace: String,
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
    /// Whether it carries `soap:mustUnderstand="1"`.
    pub must_understand: bool,
}

impl Element {
    pub fn new(namespace: &str, name: &str) -> Self {
        Element { namespace: namespace.to_owned(), name: name.to_owned(), ..Element::default() }
    }

    pub fn with_text(mut self, text: impl Into<String>) -> Self {
        self.text = text.into();
        self
    }

    pub fn with(mut self, child: Element) -> Self {
        self.children.push(child);
        self
    }

    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.namespace == namespace && self.name == name
    }
}

/// How much of a document is read at most.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub bytes: usize,
    pub depth: usize,
    pub elements: usize,
}

impl Limits {
    pub const REQUEST: Limits = Limits { bytes: 64 * 1024, depth: 16, elements: 200 };
    pub const ANSWER: Limits = Limits { bytes: 1024 * 1024, depth: 16, elements: 20_000 };
}

const MAX_ATTRIBUTES: usize = 32;
const MAX_NAMESPACES: usize = 64;
/// Each element keeps a copy of its own: a long one would multiply.
const MAX_NAMESPACE_BYTES: usize = 128;

/// Why a document is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadXml {
    #[error("the document is larger than {0} bytes")]
    TooLarge(usize),
    #[error("the document is not UTF-8")]
    NotUtf8,
    #[error("{0} are not allowed")]
    Forbidden(&'static str),
    #[error("the document is nested too deeply")]
    TooDeep,
    #[error("the document has too many {0}")]
    TooMany(&'static str),
    #[error("the document is not well-formed XML: {0}")]
    Malformed(String),
}

fn malformed(what: impl ToString) -> BadXml {
    // The reader's words may quote the document: keep them short.
    BadXml::Malformed(what.to_string().chars().take(120).collect())
}

/// Reads one document.
pub fn parse(bytes: &[u8], limits: Limits) -> Result<Element, BadXml> {
    let (result, steps) = parse_counted(bytes, limits);
    debug_assert!(steps <= steps_at_most(bytes.len()), "{steps} steps");
    result
}

/// The same, and what work it was: a step is a byte that was read or copied, an
/// event, or an attribute. At most [`steps_at_most`].
pub fn parse_counted(bytes: &[u8], limits: Limits) -> (Result<Element, BadXml>, u64) {
    let text = match readable(bytes, limits) {
        Ok(text) => text,
        Err(error) => return (Err(error), 0),
    };
    let mut tree = Tree::new(text, limits);
    let result = tree.read();
    (result, tree.steps + tree.reader.buffer_position())
}

/// The bound that every document keeps, hostile ones too: linear in its bytes.
/// The dearest byte is one of the four of `<a/>`, with a namespace to copy.
pub fn steps_at_most(bytes: usize) -> u64 {
    const PER_BYTE: u64 = 2 + MAX_NAMESPACE_BYTES as u64 / 4;
    PER_BYTE * (bytes as u64 + 16)
}

/// The text of a document that may be read at all.
fn readable(bytes: &[u8], limits: Limits) -> Result<&str, BadXml> {
    if bytes.len() > limits.bytes {
        return Err(BadXml::TooLarge(limits.bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadXml::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.chars().all(is_xml_char) {
        return Err(malformed("a character that XML does not allow"));
    }
    Ok(text)
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

/// A name, with a prefix or without; the reader itself takes nearly anything.
fn is_name(text: &str) -> bool {
    let starts = |c: char| c.is_ascii_alphabetic() || c == '_' || !c.is_ascii();
    let goes_on = |c: char| starts(c) || c.is_ascii_digit() || ".-".contains(c);
    let plain = |part: &str| part.starts_with(starts) && part.chars().all(goes_on);
    match text.split_once(':') {
        Some((prefix, local)) => plain(prefix) && plain(local) && prefix != "xmlns",
        None => plain(text),
    }
}

struct Tree<'a> {
    reader: NsReader<&'a [u8]>,
    limits: Limits,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
    steps: u64,
}

impl<'a> Tree<'a> {
    fn new(text: &'a str, limits: Limits) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_end_names = true;
        reader.config_mut().check_comments = true;
        reader.resolver_mut().set_max_namespace_bindings(MAX_NAMESPACES);
        Tree { reader, limits, open: Vec::new(), root: None, elements: 0, steps: 0 }
    }

    fn read(&mut self) -> Result<Element, BadXml> {
        loop {
            self.steps += 1;
            match self.reader.read_event().map_err(malformed)? {
                Event::Start(start) => self.start(&start)?,
                Event::Empty(start) => {
                    self.start(&start)?;
                    self.end()?;
                }
                Event::End(_) => self.end()?,
                Event::Text(text) => self.text(&text.xml10_content())?,
                Event::CData(data) => self.text(&data.xml10_content())?,
                Event::GeneralRef(entity) => {
                    let known = match entity.resolve_char_ref().map_err(malformed)? {
                        Some(c) if is_xml_char(c) => c.to_string(),
                        Some(_) => return Err(malformed("a character that XML does not allow")),
                        None => quick_xml::escape::resolve_xml_entity(&entity)
                            .ok_or(BadXml::Forbidden("entities"))?
                            .to_owned(),
                    };
                    self.text(&known)?;
                }
                Event::Decl(declaration) => {
                    let encoding = declaration.encoding().transpose().map_err(malformed)?;
                    if encoding.is_some_and(|e| !e.eq_ignore_ascii_case("utf-8")) {
                        return Err(BadXml::NotUtf8);
                    }
                }
                Event::DocType(_) => return Err(BadXml::Forbidden("document types")),
                Event::PI(_) => return Err(BadXml::Forbidden("processing instructions")),
                Event::Comment(_) => {}
                Event::Eof => break,
            }
        }
        if !self.open.is_empty() {
            return Err(malformed("it ends too early"));
        }
        self.root.take().ok_or_else(|| malformed("there is no element"))
    }

    fn start(&mut self, start: &BytesStart<'_>) -> Result<(), BadXml> {
        if self.root.is_some() {
            return Err(malformed("more than one root element"));
        }
        if self.open.len() >= self.limits.depth {
            return Err(BadXml::TooDeep);
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(BadXml::TooMany("elements"));
        }
        if !is_name(start.name().as_ref()) {
            return Err(malformed("a name that is none"));
        }
        let resolver = self.reader.resolver();
        let (namespace, local) = resolver.resolve_element(start.name());
        let namespace = match namespace {
            ResolveResult::Bound(namespace) if namespace.0.len() > MAX_NAMESPACE_BYTES => {
                return Err(BadXml::Forbidden("long namespaces"));
            }
            ResolveResult::Bound(namespace) => namespace.0.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(prefix) => {
                return Err(malformed(format!("the prefix {prefix} is not declared")));
            }
        };
        let mut element = Element::new(&namespace, local.as_ref());
        self.steps += (namespace.len() + element.name.len()) as u64;
        for (count, attribute) in start.attributes().enumerate() {
            if count >= MAX_ATTRIBUTES {
                return Err(BadXml::TooMany("attributes"));
            }
            self.steps += 1;
            let attribute = attribute.map_err(malformed)?;
            let named = attribute.key.as_ref();
            if !is_name(named.strip_prefix("xmlns:").unwrap_or(named)) {
                return Err(malformed("a name that is none"));
            }
            if attribute.value.contains('<') {
                return Err(malformed("an angle in an attribute"));
            }
            let no_uri = |c: char| c.is_whitespace() || "&>\"'".contains(c);
            if attribute.key.as_namespace_binding().is_some() && attribute.value.contains(no_uri) {
                return Err(BadXml::Forbidden("namespaces that are no URI"));
            }
            let (space, name) = resolver.resolve_attribute(attribute.key);
            let in_soap = matches!(space, ResolveResult::Bound(n) if n.0 == SOAP_NS);
            if in_soap && name.as_ref() == "mustUnderstand" {
                let value = attribute.normalized_value(XmlVersion::Implicit1_0);
                let value = value.map_err(malformed)?;
                element.must_understand = matches!(value.trim(), "1" | "true");
            }
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<(), BadXml> {
        let done = self.open.pop().ok_or_else(|| malformed("an end without a start"))?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(done),
            None => self.root = Some(done),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), BadXml> {
        self.steps += text.len() as u64;
        match self.open.last_mut() {
            Some(element) => element.text.push_str(text),
            None if text.trim().is_empty() => {}
            None => return Err(malformed("text outside the root element")),
        }
        Ok(())
    }
}

/// Writes a document. Elements of [`SOAP_NS`] get the prefix `soap`, all others
/// declare their namespace as the default one where it changes.
pub fn write(root: &Element) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(1024);
    out.extend_from_slice(br#"<?xml version="1.0" encoding="UTF-8"?>"#);
    let mut writer = Writer::new(out);
    write_element(&mut writer, root, "", true)?;
    Ok(writer.into_inner())
}

fn write_element(
    writer: &mut Writer<Vec<u8>>,
    element: &Element,
    default_namespace: &str,
    root: bool,
) -> std::io::Result<()> {
    let soap = element.namespace == SOAP_NS;
    let name = if soap { format!("soap:{}", element.name) } else { element.name.clone() };
    let mut start = BytesStart::new(name.as_str());
    let mut default = default_namespace;
    if root {
        start.push_attribute(("xmlns:soap", SOAP_NS));
    }
    if !soap && element.namespace != default_namespace {
        start.push_attribute(("xmlns", element.namespace.as_str()));
        default = &element.namespace;
    }
    if element.children.is_empty() && element.text.is_empty() {
        return writer.write_event(Event::Empty(start));
    }
    writer.write_event(Event::Start(start))?;
    if !element.text.is_empty() {
        writer.write_event(Event::Text(BytesText::new(&element.text)))?;
    }
    for child in &element.children {
        write_element(writer, child, default, false)?;
    }
    writer.write_event(Event::End(BytesEnd::new(name.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Element, BadXml> {
        parse(text.as_bytes(), Limits::REQUEST)
    }

    #[test]
    fn any_prefix_names_the_same_element() {
        let plain = read("<a xmlns='urn:x'><b>1 &lt; 2 &#65;<![CDATA[&]]></b></a>").unwrap();
        let prefixed = read("<q:a xmlns:q='urn:x'><q:b>1 &lt; 2 &#x41;&amp;</q:b></q:a>").unwrap();
        assert_eq!(plain, prefixed);
        assert_eq!(plain.children[0].text, "1 < 2 A&");
    }

    #[test]
    fn hostile_documents_are_refused_before_they_cost_anything() {
        let laughs = "<!DOCTYPE l [<!ENTITY a \"ha\"><!ENTITY b \"&a;&a;&a;\">]><l>&b;</l>";
        assert_eq!(read(laughs), Err(BadXml::Forbidden("document types")));
        assert_eq!(read("<l>&b;</l>"), Err(BadXml::Forbidden("entities")));
        assert_eq!(read("<?go now?><l/>"), Err(BadXml::Forbidden("processing instructions")));
        assert_eq!(read(&"<a>".repeat(5_000)), Err(BadXml::TooDeep));
        let wide = format!("<a>{}</a>", "<b/>".repeat(5_000));
        assert_eq!(read(&wide), Err(BadXml::TooMany("elements")));
        let attributes: String = (0..500).map(|i| format!(" a{i}='1'")).collect();
        assert_eq!(read(&format!("<a{attributes}/>")), Err(BadXml::TooMany("attributes")));
        let names: String = (0..500).map(|i| format!(" xmlns:a{i}='u'")).collect();
        assert!(read(&format!("<a{names}/>")).is_err());
        let huge = format!("<a>{}</a>", "x".repeat(70_000));
        assert_eq!(read(&huge), Err(BadXml::TooLarge(64 * 1024)));
    }

    #[test]
    fn work_is_linear_in_the_input_whatever_it_is() {
        /// What it is called, and how to make one of some size.
        type Family = (&'static str, fn(usize) -> String);
        let families: [Family; 13] = [
            ("wide", |n| format!("<a>{}</a>", "<b/>".repeat(n))),
            ("deep", |n| format!("{}{}", "<a>".repeat(n), "</a>".repeat(n))),
            ("never closed", |n| "<a>".repeat(n)),
            ("long namespace", |n| {
                format!("<a xmlns='{}'>{}</a>", "u".repeat(n), "<b/>".repeat(n))
            }),
            ("longest namespace", |n| {
                format!("<a xmlns='{}'>{}</a>", "u".repeat(MAX_NAMESPACE_BYTES), "<b/>".repeat(n))
            }),
            ("attributes", |n| {
                (0..n).fold("<a".to_owned(), |t, i| t + &format!(" b{i}='1'")) + "/>"
            }),
            ("namespaces", |n| {
                (0..n).fold("<a".to_owned(), |t, i| t + &format!(" xmlns:b{i}='u'")) + "/>"
            }),
            ("text", |n| format!("<a>{}</a>", "x".repeat(n))),
            ("entities", |n| format!("<a>{}</a>", "&amp;".repeat(n))),
            ("comments", |n| format!("<a>{}</a>", "<!---->".repeat(n))),
            ("half a comment", |n| format!("<a><!--{}", "-".repeat(n))),
            ("data", |n| format!("<a>{}</a>", "<![CDATA[x]]>".repeat(n))),
            ("open angles", |n| "<".repeat(n)),
        ];
        let wide = Limits { bytes: usize::MAX, depth: usize::MAX, elements: usize::MAX };
        for (name, family) in families {
            let steps = |n: usize, limits| {
                let text = family(n);
                let (_, steps) = parse_counted(text.as_bytes(), limits);
                assert!(steps <= steps_at_most(text.len()), "{name}: {steps} for {}", text.len());
                steps
            };
            // Four times the document is at most four times the work, and a little.
            let (small, large) = (steps(2_000, wide), steps(8_000, wide));
            assert!(large <= 4 * small + 4_096, "{name}: {small}, then {large}");
            steps(8_000, Limits::ANSWER);
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for bad in [
            "",
            " ",
            "text",
            "<a>",
            "<a></b>",
            "</a>",
            "<a/><b/>",
            "<a/>text",
            "<p:a/>",
            "<a b='1' b='2'/>",
            "<a>&#0;</a>",
            "<a>&#xFFFF;</a>",
            "<a>\u{1}</a>",
            "<a b=1/>",
            "<a b='<'/>",
            "<a<b/>",
            "<?a/>",
            "<1/>",
            "<a:b:c xmlns:a='u'/>",
            "<xmlns:a/>",
            "<a ?='1'/>",
            "<a xmlns='urn:<'/>",
            "<a>& </a>",
            "{\"json\":1}",
        ] {
            assert!(matches!(read(bad), Err(BadXml::Malformed(_))), "{bad}: {:?}", read(bad));
        }
        assert_eq!(parse(&[0xff, 0xfe, 0x3c], Limits::REQUEST), Err(BadXml::NotUtf8));
        let latin = "<?xml version='1.0' encoding='ISO-8859-1'?><a/>";
        assert_eq!(read(latin), Err(BadXml::NotUtf8));
    }
}
