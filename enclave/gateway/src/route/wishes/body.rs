//! What a client may ask of routing in its body, in the words of `OpenRouter` (API reference, "Model Routing" and "Provider
//! Routing") and `LiteLLM` ("Fallbacks"): other models to try, an order, less exposure.
//!
//! Names of models never travel on: an upstream that routes by itself would otherwise serve a model that the key may not
//! use.

use bytes::Bytes;
use serde_json::{Map, Value};

use super::{MAX_NAMESPACE, Sort, Wishes};
use crate::cache::wanted::CacheUse;
use crate::deployment::Exposure;
use crate::error::Error;
use crate::plaintext::Plaintext;
use crate::route::Models;
use crate::scan::{Field, Fields, Kind, elements, unescape};
use crate::wire::Request;

/// Most other models that a request may name.
const MOST_MODELS: u32 = 8;
/// Most guardrails that a request may name.
const MOST_GUARDRAILS: u32 = 32;
/// Members that are the gateway's business alone: `OpenRouter`'s list of models and its only way to use it, `LiteLLM`'s
/// list, its wishes for the cache and its guardrails. `metadata` is, if it has a list of `tags`: what goes to a provider has
/// texts only (`LiteLLM`, "Request tags").
const OURS: [&str; 6] = ["cache", "fallbacks", "guardrails", "metadata", "models", "route"];
/// Most tags that a request may have.
const MOST_TAGS: u32 = 64;

impl Wishes {
    /// Takes what the body asks of routing, and gives back the request with the name of a configured model and without
    /// what no upstream may see.
    ///
    /// # Errors
    /// [`Error::FieldInvalid`] for a list that is not one; as [`crate::wire::Wire::parse`].
    pub fn take_body(&mut self, mut request: Request, models: &Models) -> Result<Request, Error> {
        if !request.wire.name().starts_with("openai_") {
            return Ok(request);
        }
        while let Some((param, field)) = ours(&request) {
            let document = request.body.expose();
            self.take_member(param, field, document)?;
            let span = request.fields.member_span(field);
            let body = without(document, span);
            let Request { wire, asked, .. } = request;
            request = wire.parse(asked, Plaintext::new(body))?;
        }
        let document = request.body.expose();
        if let Some(field) = request.fields.find(document, "provider").filter(|own| own.kind == Kind::Object)
        {
            self.prefer(field.value(document))?;
        }
        if let Some((name, sort)) = plain_name(&request.model, models) {
            self.sort = self.sort.or(Some(sort));
            // Whoever changes the body reads it again; the name has to stay.
            request.asked.model = Some(name.clone());
            request.model = name;
        }
        for name in &mut self.instead {
            if let Some((plain, _)) = plain_name(name, models) {
                *name = plain;
            }
        }
        self.instead.retain(|name| *name != request.model);
        Ok(request)
    }

    fn take_member(&mut self, param: &'static str, field: &Field, document: &[u8]) -> Result<(), Error> {
        match (param, field.kind) {
            (_, Kind::Null) | ("route", _) => {}
            ("cache", Kind::Object) => self.use_of_cache(field.value(document))?,
            ("cache", _) => return Err(Error::FieldInvalid { param, expected: "an object" }),
            ("metadata", _) => self.tag(field.value(document))?,
            ("guardrails", _) => {
                let expected = "an array of at most 32 names";
                let names = texts(field, document, MOST_GUARDRAILS);
                self.guardrails.extend(names.ok_or(Error::FieldInvalid { param, expected })?);
            }
            _ => {
                let expected = "an array of at most 8 names of models";
                let names = texts(field, document, MOST_MODELS);
                for name in names.ok_or(Error::FieldInvalid { param, expected })? {
                    if !self.instead.contains(&name) {
                        self.instead.push(name);
                    }
                }
            }
        }
        Ok(())
    }

    /// `LiteLLM`'s `cache`. How long is at most what the configuration says, and a name is one within the partition.
    fn use_of_cache(&mut self, object: &[u8]) -> Result<(), Error> {
        let mut inner = Fields::new();
        let expected = "an object without duplicate fields";
        inner.scan_utf8(object).map_err(|_| Error::FieldInvalid { param: "cache", expected })?;
        for (name, asked) in [("no-cache", CacheUse::Refresh), ("no-store", CacheUse::Off)] {
            if inner.find(object, name).is_some_and(|own| own.kind == Kind::True) {
                self.cache.narrow(asked);
            }
        }
        let seconds = |name| inner.find(object, name).and_then(|own| own.unsigned(object));
        if let Some(seconds) = seconds("ttl").filter(|seconds| *seconds > 0) {
            self.cache.no_longer_than(seconds);
        }
        if let Some(seconds) = seconds("s-maxage") {
            self.cache.no_older_than(seconds);
        }
        if let Some(name) = inner.find(object, "namespace").and_then(|own| own.raw_string(object)) {
            let name = unescape(name).filter(|own| !own.is_empty() && own.len() <= MAX_NAMESPACE);
            self.cache.namespace =
                Some(name.ok_or(Error::FieldInvalid {
                    param: "cache",
                    expected: "a namespace of 1 to 128 bytes",
                })?);
        }
        Ok(())
    }

    /// `LiteLLM`'s `metadata`: tags, and beside them pairs of texts.
    fn tag(&mut self, object: &[u8]) -> Result<(), Error> {
        let mut inner = Fields::new();
        let expected = "an object without duplicate fields, with at most 64 tags";
        let wrong = || Error::FieldInvalid { param: "metadata", expected };
        inner.scan_utf8(object).map_err(|_| wrong())?;
        if let Some(tags) = inner.find(object, "tags") {
            self.tags.extend(texts(tags, object, MOST_TAGS).ok_or_else(wrong)?);
        }
        let members: Map<String, Value> = serde_json::from_slice(object).map_err(|_| wrong())?;
        let texts = members.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned())));
        self.metadata.extend(texts);
        Ok(())
    }

    /// What `provider` says that means the same whoever serves; the rest is for `OpenRouter` itself.
    fn prefer(&mut self, object: &[u8]) -> Result<(), Error> {
        let mut inner = Fields::new();
        let expected = "an object without duplicate fields";
        inner.scan_utf8(object).map_err(|_| Error::FieldInvalid { param: "provider", expected })?;
        let says = |name, word: &[u8]| {
            inner.find(object, name).and_then(|own| own.raw_string(object)).is_some_and(|own| own == word)
        };
        let is = |name, kind| inner.find(object, name).is_some_and(|own| own.kind == kind);
        if says("data_collection", b"deny") || is("zdr", Kind::True) {
            let most = Exposure::ContractZdr;
            self.exposure_max = Some(self.exposure_max.map_or(most, |own| own.min(most)));
        }
        if says("sort", b"price") {
            self.sort = Some(Sort::Price);
        } else if says("sort", b"latency") || says("sort", b"throughput") {
            self.sort = Some(Sort::Speed);
        }
        self.no_fallback |= is("allow_fallbacks", Kind::False);
        Ok(())
    }
}

/// The elements of an array of at most so many texts; nothing if it is not one.
fn texts(field: &Field, document: &[u8], most: u32) -> Option<Vec<String>> {
    if field.kind != Kind::Array || field.elements.count > most {
        return None;
    }
    let mut texts = Some(Vec::new());
    let read = elements(field.value(document), |element, kind| {
        let inner = element.get(1..element.len().saturating_sub(1)).unwrap_or_default();
        let text = (kind == Kind::String).then(|| unescape(inner)).flatten();
        texts = texts.take().zip(text).map(|(mut texts, text)| {
            texts.push(text);
            texts
        });
    });
    read.ok().and(texts)
}

fn ours(request: &Request) -> Option<(&'static str, &Field)> {
    let document = request.body.expose();
    request.fields.iter().find_map(|field| {
        let name = field.known(document, &OURS)?;
        (name != "metadata" || has_tags(field, document)).then_some((name, field))
    })
}

fn has_tags(metadata: &Field, document: &[u8]) -> bool {
    let object = metadata.value(document);
    let mut inner = Fields::new();
    metadata.kind == Kind::Object
        && inner.scan_utf8(object).is_ok()
        && inner.find(object, "tags").is_some_and(|own| own.kind == Kind::Array)
}

fn without(document: &[u8], span: std::ops::Range<usize>) -> Bytes {
    let before = document.get(..span.start).unwrap_or_default();
    Bytes::from([before, document.get(span.end..).unwrap_or_default()].concat())
}

/// A name with one of `OpenRouter`'s suffixes for orders, unless a model has it as its own: the model, and the order.
fn plain_name(name: &str, models: &Models) -> Option<(String, Sort)> {
    let (plain, suffix) = name.rsplit_once(':')?;
    let sort = match suffix {
        "floor" => Sort::Price,
        "nitro" => Sort::Speed,
        _ => return None,
    };
    let known = models.find(name).is_none() && models.find(plain).is_some();
    known.then(|| (plain.to_owned(), sort))
}
