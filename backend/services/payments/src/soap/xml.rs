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
    if bytes.len() > limits.bytes {
        return Err(BadXml::TooLarge(limits.bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| BadXml::NotUtf8)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.chars().all(is_xml_char) {
        return Err(malformed("a character that XML does not allow"));
    }
    Tree::new(text, limits).read()
}

fn is_xml_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}

struct Tree<'a> {
    reader: NsReader<&'a [u8]>,
    limits: Limits,
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl<'a> Tree<'a> {
    fn new(text: &'a str, limits: Limits) -> Self {
        let mut reader = NsReader::from_str(text);
        reader.config_mut().check_end_names = true;
        reader.config_mut().check_comments = true;
        reader.resolver_mut().set_max_namespace_bindings(MAX_NAMESPACES);
        Tree { reader, limits, open: Vec::new(), root: None, elements: 0 }
    }

    fn read(mut self) -> Result<Element, BadXml> {
        loop {
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
        self.root.ok_or_else(|| malformed("there is no element"))
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
        let resolver = self.reader.resolver();
        let (namespace, local) = resolver.resolve_element(start.name());
        let namespace = match namespace {
            ResolveResult::Bound(namespace) => namespace.0.to_owned(),
            ResolveResult::Unbound => String::new(),
            ResolveResult::Unknown(prefix) => {
                return Err(malformed(format!("the prefix {prefix} is not declared")));
            }
        };
        let mut element = Element::new(&namespace, local.as_ref());
        for (count, attribute) in start.attributes().enumerate() {
            if count >= MAX_ATTRIBUTES {
                return Err(BadXml::TooMany("attributes"));
            }
            let attribute = attribute.map_err(malformed)?;
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
