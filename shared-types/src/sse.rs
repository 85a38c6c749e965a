//! Server-sent events as they travel: how they are written and read.
//!
//! Only what GraphQL over SSE needs of the format: names, data, comments. Ids
//! and retry times are passed over.

/// The media type of a stream of events.
pub const MEDIA_TYPE: &str = "text/event-stream";
/// A comment: shows that the other side lives, says nothing.
pub const HEARTBEAT: &str = ":\n\n";

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// `next`, `complete`; `message` when the sender gave none.
    pub name: String,
    /// Its lines, joined.
    pub data: String,
}

/// The text of one event.
pub fn write(name: &str, data: &str) -> String {
    let mut text = String::with_capacity(name.len() + data.len() + 16);
    text.push_str("event: ");
    text.push_str(name);
    // Browsers pass over an event without any data line.
    for line in data.split('\n') {
        text.push_str("\ndata: ");
        text.push_str(line);
    }
    text.push_str("\n\n");
    text
}

/// Puts events together from the pieces in which they arrive.
#[derive(Debug)]
pub struct Reader {
    /// What came of the line that is not over yet.
    line: Vec<u8>,
    name: Option<String>,
    data: Option<String>,
    max_bytes: usize,
}

/// An event is longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

impl Reader {
    /// A reader of events of at most `max_bytes` each.
    pub fn new(max_bytes: usize) -> Self {
        Reader { line: Vec::new(), name: None, data: None, max_bytes }
    }

    /// The events that are whole with these `bytes`, in order.
    ///
    /// # Errors
    /// When one is longer than it may be; nothing can be read after that.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, TooLong> {
        let mut whole = Vec::new();
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            self.line.extend_from_slice(&rest[..end]);
            rest = &rest[end + 1..];
            self.within_limit()?;
            let line = std::mem::take(&mut self.line);
            whole.extend(self.take_line(String::from_utf8_lossy(&line).trim_end_matches('\r')));
        }
        self.line.extend_from_slice(rest);
        self.within_limit()?;
        Ok(whole)
    }

    fn within_limit(&self) -> Result<(), TooLong> {
        let held = self.line.len() + self.data.as_ref().map_or(0, String::len);
        if held <= self.max_bytes { Ok(()) } else { Err(TooLong) }
    }

    /// The event that an empty line ends.
    fn take_line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let (name, data) = (self.name.take(), self.data.take());
            if name.is_none() && data.is_none() {
                return None;
            }
            let name = name.unwrap_or_else(|| "message".to_owned());
            return Some(Event { name, data: data.unwrap_or_default() });
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => self.name = Some(value.to_owned()),
            "data" => match &mut self.data {
                None => self.data = Some(value.to_owned()),
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
            },
            // A comment has an empty name.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_are_read_as_they_were_written_however_they_are_cut() {
        let said =
            [event("next", "{\"a\":\"é\"}"), event("next", "one\n\ntwo"), event("complete", "")];
        let text: String = said.iter().map(|e| write(&e.name, &e.data) + HEARTBEAT).collect();
        for size in 1..=text.len() {
            let mut reader = Reader::new(100);
            let pieces = text.as_bytes().chunks(size);
            let read: Vec<Event> = pieces.flat_map(|piece| reader.push(piece).unwrap()).collect();
            assert_eq!(read, said, "in pieces of {size}");
        }
    }

    #[test]
    fn events_of_others_are_read_too() {
        let mut reader = Reader::new(100);
        let read =
            reader.push(b":\r\n\r\nid: 7\r\ndata:x\r\n\r\nevent: complete\n\nevent: cut").unwrap();
        assert_eq!(read, [event("message", "x"), event("complete", "")]);
    }

    #[test]
    fn an_event_without_end_is_given_up() {
        let mut reader = Reader::new(20);
        assert_eq!(reader.push(&[b'x'; 21]), Err(TooLong));
        let mut reader = Reader::new(20);
        let lines = "data: 12345\n".repeat(5);
        assert_eq!(reader.push(lines.as_bytes()), Err(TooLong));
    }
}
