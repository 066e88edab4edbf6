//! Searches of the web by the provider: what each chat API can say of one (`OpenAI` API reference, `web_search_options` and
//! the tool `web_search`; Anthropic API reference, "Web search tool"; Gemini API documentation, "Grounding with Google Search").

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::dialect::{Expressible, Weight};
use crate::chat::conversation::{Location, WebSearch};
use crate::error::Error;

/// What an API can say of a search, beside that there is one.
#[derive(Clone, Copy, Default)]
pub(super) struct Says {
    pub(super) context_size: bool,
    pub(super) location: bool,
    pub(super) allowed_domains: bool,
    pub(super) blocked_domains: bool,
    pub(super) max_uses: bool,
}

/// Reports what an API cannot say of a search: which pages may be read changes the answer, the rest is a hint.
pub(super) fn report(search: &WebSearch, says: Says, expressible: &mut Expressible) -> Result<(), Error> {
    let unsaid = [
        (search.context_size.is_some() && !says.context_size, Weight::Hint),
        (search.location.is_some() && !says.location, Weight::Hint),
        (!search.allowed_domains.is_empty() && !says.allowed_domains, Weight::Meaning),
        (!search.blocked_domains.is_empty() && !says.blocked_domains, Weight::Meaning),
        (search.max_uses.is_some() && !says.max_uses, Weight::Hint),
    ];
    for (_, weight) in unsaid.into_iter().filter(|(is_unsaid, _)| *is_unsaid) {
        expressible.cannot(search.param, weight)?;
    }
    Ok(())
}

/// For an API whose models search nothing.
pub(super) fn refuse(search: Option<&WebSearch>, expressible: &mut Expressible) -> Result<(), Error> {
    search.map_or(Ok(()), |own| expressible.cannot(own.param, Weight::Meaning))
}

/// The tool of the Responses API and of Anthropic's, as clients write it.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct SearchTool {
    search_context_size: Option<String>,
    user_location: Option<LocationMember>,
    filters: Option<Filters>,
    allowed_domains: Option<Vec<String>>,
    blocked_domains: Option<Vec<String>>,
    max_uses: Option<u64>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Filters {
    allowed_domains: Option<Vec<String>>,
}

/// A place, with its members or one level deeper, as chat completions have it.
#[derive(Default, Deserialize)]
#[serde(default)]
struct LocationMember {
    approximate: Option<PlaceMember>,
    #[serde(flatten)]
    place: PlaceMember,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PlaceMember {
    city: Option<String>,
    country: Option<String>,
    region: Option<String>,
    timezone: Option<String>,
}

impl SearchTool {
    /// The canonical form. `param` is the client's member that asks for it.
    pub(super) fn into_canonical(self, param: &'static str) -> WebSearch {
        let filtered = self.filters.and_then(|filters| filters.allowed_domains);
        WebSearch {
            param,
            context_size: self.search_context_size,
            location: self.user_location.map(|own| {
                let PlaceMember { city, country, region, timezone } = own.approximate.unwrap_or(own.place);
                Location { city, country, region, timezone }
            }),
            allowed_domains: filtered.or(self.allowed_domains).unwrap_or_default(),
            blocked_domains: self.blocked_domains.unwrap_or_default(),
            max_uses: self.max_uses,
        }
    }
}

/// The members of a place that are known.
fn place(location: &Location) -> Map<String, Value> {
    let Location { city, country, region, timezone } = location;
    let known = [("city", city), ("country", country), ("region", region), ("timezone", timezone)];
    known.into_iter().filter_map(|(name, own)| Some((name.to_owned(), own.as_deref()?.into()))).collect()
}

/// Anthropic's tool.
pub(super) fn for_messages(search: &WebSearch, expressible: &mut Expressible) -> Result<Value, Error> {
    let says = Says {
        location: true,
        allowed_domains: true,
        blocked_domains: true,
        max_uses: true,
        ..Says::default()
    };
    report(search, says, expressible)?;
    let mut tool = json!({ "type": "web_search_20250305", "name": "web_search" });
    if let Value::Object(tool) = &mut tool {
        put(tool, "max_uses", search.max_uses.map(Value::from));
        put_list(tool, "allowed_domains", &search.allowed_domains);
        put_list(tool, "blocked_domains", &search.blocked_domains);
        put(tool, "user_location", search.location.as_ref().map(approximate));
    }
    Ok(tool)
}

/// The tool of the Responses API.
pub(super) fn for_responses(search: &WebSearch, expressible: &mut Expressible) -> Result<Value, Error> {
    let says = Says { context_size: true, location: true, allowed_domains: true, ..Says::default() };
    report(search, says, expressible)?;
    let mut tool = json!({ "type": "web_search" });
    if let Value::Object(tool) = &mut tool {
        put(tool, "search_context_size", search.context_size.as_deref().map(Value::from));
        put(tool, "user_location", search.location.as_ref().map(approximate));
        if !search.allowed_domains.is_empty() {
            tool.insert("filters".to_owned(), json!({ "allowed_domains": search.allowed_domains }));
        }
    }
    Ok(tool)
}

/// `web_search_options` of chat completions, for models that know it: those whose name says that they search. Others
/// would refuse it, or answer without having searched.
pub(super) fn for_chat(
    search: &WebSearch,
    model: &str,
    expressible: &mut Expressible,
) -> Result<Option<Value>, Error> {
    if !model.contains("search") {
        expressible.cannot(search.param, Weight::Meaning)?;
        return Ok(None);
    }
    report(search, Says { context_size: true, location: true, ..Says::default() }, expressible)?;
    let mut options = Map::new();
    put(&mut options, "search_context_size", search.context_size.as_deref().map(Value::from));
    let location =
        search.location.as_ref().map(|own| json!({ "type": "approximate", "approximate": place(own) }));
    put(&mut options, "user_location", location);
    Ok(Some(options.into()))
}

fn approximate(location: &Location) -> Value {
    let mut members = place(location);
    members.insert("type".to_owned(), "approximate".into());
    members.into()
}

fn put(object: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    object.extend(value.map(|value| (name.to_owned(), value)));
}

fn put_list(object: &mut Map<String, Value>, name: &str, list: &[String]) {
    put(object, name, (!list.is_empty()).then(|| list.into()));
}
