//! Tool names of one request as an upstream knows them, and as the client wrote them.

/// Pairs of names; a name without a pair is the same on both sides.
#[derive(Default)]
pub struct ToolNames {
    /// Sent and original; each once.
    pairs: Vec<(String, String)>,
}

impl ToolNames {
    /// The name to send.
    pub fn sent<'a>(&'a self, original: &'a str) -> &'a str {
        let pair = self.pairs.iter().find(|(_, own)| own == original);
        pair.map_or(original, |(sent, _)| sent)
    }

    /// The client's own name.
    pub fn original<'a>(&'a self, sent: &'a str) -> &'a str {
        let pair = self.pairs.iter().find(|(own, _)| own == sent);
        pair.map_or(sent, |(_, original)| original)
    }

    /// Whether `original` has its pair already.
    pub fn knows(&self, original: &str) -> bool {
        self.pairs.iter().any(|(_, own)| own == original)
    }

    /// Whether some tool is sent under that name.
    pub fn is_taken(&self, sent: &str) -> bool {
        self.pairs.iter().any(|(own, _)| own == sent)
    }

    /// Every name to send.
    pub fn all_sent(&self) -> impl Iterator<Item = &str> {
        self.pairs.iter().map(|(sent, _)| sent.as_str())
    }

    /// Adds a pair. The caller has seen that neither side is there yet.
    pub fn add(&mut self, sent: String, original: &str) {
        self.pairs.push((sent, original.to_owned()));
    }
}
