//! Which member of a body is what. By names, since the chat APIs share most of them; where the same name means different
//! things, by what stands around it.

use super::{Body, Kind, Role};

/// What is known of the place that is being read.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) kind: Kind,
    pub(super) role: Role,
    pub(super) turn: usize,
    /// Inside of an object whose names are the user's or the tool's: no name there means anything to an API.
    pub(super) free: bool,
    /// The members of this array are messages, each with a number of its own.
    pub(super) turns: bool,
    /// A string here is JSON itself.
    pub(super) json: bool,
    /// Inside of the piece that a stream's event adds.
    pub(super) delta: bool,
    /// Inside of answers whose events add text without saying so: Gemini's parts, legacy completions.
    pub(super) adds: bool,
    /// Which answer.
    pub(super) choice: u64,
    /// Which call of it.
    pub(super) call: u64,
    pub(super) depth: u32,
}

/// What an object says of itself, looked up before its members are read.
#[derive(Clone, Copy, Default)]
pub(super) struct Itself<'d> {
    pub(super) kind: &'d [u8],
    pub(super) role: &'d [u8],
    pub(super) has_media_type: bool,
    pub(super) thought: bool,
}

impl Place {
    pub(super) const fn root(body: Body) -> Self {
        let role = match body {
            Body::Answer | Body::Event => Role::Assistant,
            Body::Request => Role::Nobody,
        };
        Self {
            kind: Kind::Other,
            role,
            turn: 0,
            free: false,
            turns: false,
            json: false,
            delta: false,
            adds: false,
            choice: 0,
            call: 0,
            depth: 0,
        }
    }

    /// What an object says of itself changes what its members are.
    pub(super) fn told(mut self, itself: &Itself<'_>) -> Self {
        if self.free {
            return self;
        }
        match itself.role {
            b"assistant" | b"model" => self.role = Role::Assistant,
            b"developer" | b"system" => self.role = Role::System,
            b"user" => self.role = Role::User,
            b"function" | b"tool" => (self.role, self.kind) = (Role::Tool, Kind::ToolResult),
            _ => {}
        }
        let is = |part: &[u8]| memchr::memmem::find(itself.kind, part).is_some();
        if is(b"call_output") || is(b"tool_result") || is(b"function_output") {
            (self.role, self.kind) = (Role::Tool, Kind::ToolResult);
        } else if is(b"reasoning") || is(b"thinking") || itself.thought {
            self.kind = Kind::Reasoning;
        }
        self
    }

    /// The place of a member of that name.
    pub(super) fn member(mut self, name: &[u8], itself: &Itself<'_>, body: Body) -> Self {
        self.depth = self.depth.saturating_add(1);
        self.turns = false;
        self.json = false;
        if self.free {
            return self;
        }
        if self.depth == 1 {
            self.top(name, itself, body);
        } else {
            self.nested(name, itself);
        }
        if is_identifier(name, self.depth) && !self.free {
            self.kind =
                if name == b"name" && is_call(itself, self.kind) { Kind::ToolName } else { Kind::Identifier };
        }
        self
    }

    fn top(&mut self, name: &[u8], itself: &Itself<'_>, body: Body) {
        match name {
            b"messages" | b"contents" => (self.kind, self.role, self.turns) = (Kind::Text, Role::User, true),
            b"input" | b"prompt" if body == Body::Request => {
                (self.kind, self.role, self.turns) = (Kind::Text, Role::User, true);
            }
            // What comes after the gap that a completion fills.
            b"suffix" if body == Body::Request => (self.kind, self.role) = (Kind::Text, Role::User),
            b"instructions" | b"system" | b"systemInstruction" | b"system_instruction" => {
                (self.kind, self.role) = (Kind::Text, Role::System);
            }
            b"functions" | b"tools" => (self.kind, self.role) = (Kind::ToolDefinition, Role::System),
            b"candidates" | b"choices" => {
                (self.kind, self.role, self.adds) = (Kind::Text, Role::Assistant, body == Body::Event);
            }
            b"content" | b"message" | b"output" | b"response" => {
                (self.kind, self.role) = (Kind::Text, Role::Assistant);
            }
            b"delta" | b"content_block" => self.event(itself),
            b"arguments" if body != Body::Request => (self.kind, self.json) = (Kind::ToolArguments, true),
            b"part" | b"item" | b"refusal" | b"text" => self.kind = Kind::Text,
            b"metadata" => self.free = true,
            _ => {}
        }
    }

    /// What an event of the Responses or Messages API adds.
    fn event(&mut self, itself: &Itself<'_>) {
        let is = |part: &[u8]| memchr::memmem::find(itself.kind, part).is_some();
        self.delta = true;
        self.kind = if is(b"arguments") || is(b"tool_call_input") {
            Kind::ToolArguments
        } else if is(b"reasoning") {
            Kind::Reasoning
        } else if is(b".audio.") {
            Kind::Media
        } else {
            Kind::Text
        };
    }

    fn nested(&mut self, name: &[u8], itself: &Itself<'_>) {
        match name {
            b"delta" if !self.delta => self.delta = true,
            b"functionCall" | b"function_call" | b"partial_json" | b"tool_calls"
                if self.kind != Kind::ToolDefinition =>
            {
                self.kind = Kind::ToolArguments;
            }
            b"arguments" if self.kind != Kind::ToolDefinition => {
                (self.kind, self.json) = (Kind::ToolArguments, !self.delta);
            }
            b"args" if self.kind != Kind::ToolDefinition => {
                (self.kind, self.free) = (Kind::ToolArguments, true);
            }
            b"input" if is_call(itself, self.kind) => (self.kind, self.free) = (Kind::ToolArguments, true),
            // Sources of a text say again what is in it, or what others say: they continue nothing.
            b"annotations" | b"citation" | b"citationMetadata" | b"citations" | b"groundingMetadata"
                if self.kind == Kind::Text =>
            {
                self.kind = Kind::Other;
            }
            b"functionResponse" | b"function_response" => {
                (self.kind, self.role) = (Kind::ToolResult, Role::Tool);
            }
            b"response" if self.kind == Kind::ToolResult => self.free = true,
            b"reasoning" | b"reasoning_content" | b"reasoning_details" | b"summary" | b"thinking" => {
                self.kind = Kind::Reasoning;
            }
            b"input_schema" | b"parameters" | b"parametersJsonSchema" | b"schema" | b"variables" => {
                self.free = true;
            }
            b"data" if itself.has_media_type => self.kind = Kind::Media,
            b"b64_json" | b"encrypted_content" | b"file_data" | b"input_audio" | b"signature"
            | b"thoughtSignature" | b"thought_signature" => self.kind = Kind::Media,
            b"data" if itself.kind == b"redacted_thinking" => self.kind = Kind::Media,
            b"image_url" | b"url" => {
                self.kind = if self.kind == Kind::Media { Kind::Media } else { Kind::Other }
            }
            _ => {}
        }
    }
}

/// Whether a member of that name carries the text that an event adds.
pub(super) fn carries(name: &[u8]) -> bool {
    matches!(
        name,
        b"arguments"
            | b"content"
            | b"delta"
            | b"partial_json"
            | b"reasoning"
            | b"reasoning_content"
            | b"refusal"
            | b"summary"
            | b"text"
            | b"thinking"
            | b"transcript"
    )
}

/// Whether the object is a call of a tool: its type says so, or it stands where calls do.
fn is_call(itself: &Itself<'_>, kind: Kind) -> bool {
    let is = |part: &[u8]| memchr::memmem::find(itself.kind, part).is_some();
    let output = is(b"output") || is(b"result");
    !output && (is(b"tool_use") || is(b"_call") || is(b"function")) || kind == Kind::ToolArguments
}

/// Names whose values are ids or words from a list, in every chat API.
fn is_identifier(name: &[u8], depth: u32) -> bool {
    if depth == 1 && matches!(name, b"model" | b"name") {
        return true;
    }
    matches!(
        name,
        b"call_id"
            | b"detail"
            | b"encoding_format"
            | b"event_id"
            | b"file_id"
            | b"finishReason"
            | b"finish_reason"
            | b"format"
            | b"id"
            | b"item_id"
            | b"media_type"
            | b"mimeType"
            | b"mime_type"
            | b"model"
            | b"modelVersion"
            | b"name"
            | b"object"
            | b"obfuscation"
            | b"responseId"
            | b"role"
            | b"service_tier"
            | b"status"
            | b"stop_reason"
            | b"system_fingerprint"
            | b"tool_call_id"
            | b"tool_choice"
            | b"tool_use_id"
            | b"ttl"
            | b"type"
    )
}
