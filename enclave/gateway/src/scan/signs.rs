//! What a scan notes of a request on its way, so that nobody has to go through the document again: which telling words
//! stand in it as whole strings, and where its long strings are.

use std::ops::Range;

use super::text::unescape;

/// What a word says about a request, whichever API format it stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Sign {
    /// Sound.
    Audio = 1,
    /// A document.
    Document = 2,
    /// An image.
    Image = 4,
    /// A schema that the answer is to follow.
    Schema = 8,
    /// A tool that the provider runs itself.
    ServerTool = 16,
}

/// Beginnings of words that go on with a version.
const VERSIONED: [&[u8]; 4] = [b"code_execution", b"google_search", b"web_fetch", b"web_search"];

impl Sign {
    /// The sign that a string is, names and values alike. `OpenAI` chat and Responses, Anthropic, Gemini.
    pub fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"input_audio" => Self::Audio,
            b"document" | b"fileData" | b"file_data" | b"input_file" => Self::Document,
            b"image" | b"image_url" | b"inlineData" | b"inline_data" | b"input_image" => Self::Image,
            b"json_schema" | b"responseJsonSchema" | b"responseSchema" | b"response_schema" => Self::Schema,
            b"codeExecution"
            | b"code_interpreter"
            | b"computer_use_preview"
            | b"fileSearch"
            | b"file_search"
            | b"googleSearch"
            | b"googleSearchRetrieval"
            | b"image_generation"
            | b"local_shell"
            | b"mcp"
            | b"urlContext"
            | b"url_context" => Self::ServerTool,
            // A version may follow, as in `web_search_20250305`.
            _ if VERSIONED.iter().any(|start| word.starts_with(start)) => Self::ServerTool,
            _ => return None,
        })
    }
}

/// What a scan has noted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    seen: u8,
    long: Vec<Range<usize>>,
}

impl Signs {
    /// Whether a string of the document is this sign. Its place is not known: a text may be such a word by chance.
    #[expect(clippy::as_conversions, reason = "the number of a variant")]
    pub const fn has(&self, sign: Sign) -> bool {
        self.seen & sign as u8 != 0
    }

    /// The strings of at least [`LONG_STRING`] bytes, without quotes.
    pub fn long_strings(&self) -> &[Range<usize>] {
        &self.long
    }

    pub(super) fn clear(&mut self) {
        self.seen = 0;
        self.long.clear();
    }

    #[expect(clippy::as_conversions, reason = "the number of a variant")]
    fn note(&mut self, word: &[u8]) {
        self.seen |= Sign::of(word).map_or(0, |sign| sign as u8);
    }
}

/// A string of at least so many bytes may be an attachment.
pub const LONG_STRING: usize = 2048;
/// No sign is written longer, even if every character of it is an escape.
const LONGEST_SIGN: usize = 256;

/// Hears of each string that a scan passes, names and values, at every depth.
pub(super) trait Watch {
    /// `content` is the string without its quotes, at `place`; `escaped`: there is a backslash in it.
    fn string(&mut self, content: &[u8], place: Range<usize>, escaped: bool);
}

/// Nobody listens.
impl Watch for () {
    fn string(&mut self, _: &[u8], _: Range<usize>, _: bool) {}
}

impl Watch for &mut Signs {
    fn string(&mut self, content: &[u8], place: Range<usize>, escaped: bool) {
        if content.len() > LONGEST_SIGN {
            if content.len() >= LONG_STRING {
                self.long.push(place);
            }
        } else if escaped {
            if let Some(word) = unescape(content) {
                self.note(word.as_bytes());
            }
        } else {
            self.note(content);
        }
    }
}
