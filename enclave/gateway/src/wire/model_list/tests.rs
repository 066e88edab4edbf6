use serde_json::json;

use super::*;

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

fn models() -> impl Iterator<Item = Listed<'static>> {
    ["a", "b", "c", "d"].into_iter().map(|id| {
        let mut extension = Map::new();
        extension.insert("exposure_class".to_owned(), "attested".into());
        Listed { id, owned_by: "x", context_tokens: Some(9), max_output_tokens: None, extension }
    })
}

fn asked(path: &str, query: &str, headers: &[(&str, &[u8])]) -> Result<Page, Error> {
    match target(&RequestHead { method: "GET", path, query: Some(query), headers })? {
        Some(Operation::ListModels(page)) => Ok(page),
        _ => panic!("a list"),
    }
}

fn ids(query: &str) -> (Vec<String>, bool) {
    let page = asked("/v1/models", query, &[]).unwrap();
    let list = read(&list(models(), &page).unwrap());
    let ids = list["data"].as_array().unwrap().iter().map(|own| own["id"].as_str().unwrap().to_owned());
    (ids.collect(), list["has_more"].as_bool().unwrap())
}

#[test]
fn one_object_satisfies_both_apis() {
    let first = models().next().unwrap();
    let wanted = json!({
        "id": "a", "object": "model", "created": 1_767_225_600, "owned_by": "x",
        "type": "model", "display_name": "a", "created_at": "2026-01-01T00:00:00Z",
        "max_input_tokens": 9, "max_tokens": null, "postern": {"exposure_class": "attested"},
    });
    assert_eq!(read(&show(&first, Form::OpenAi)), wanted);
    assert_eq!(read(&show(&first, Form::Anthropic)), wanted);
}

#[test]
fn pages_go_forwards_and_backwards() {
    let owned = |ids: &[&str], more| (ids.iter().map(|id| (*id).to_owned()).collect(), more);
    assert_eq!(ids(""), owned(&["a", "b", "c", "d"], false));
    assert_eq!(ids("limit=2"), owned(&["a", "b"], true));
    assert_eq!(ids("limit=2&after_id=b"), owned(&["c", "d"], false));
    assert_eq!(ids("limit=2&before_id=d"), owned(&["b", "c"], true));
    assert_eq!(ids("after_id=d"), owned(&[], false));
    assert_eq!(ids("after_id=c&before_id=b"), owned(&[], false));
    let page = asked("/v1/models", "after_id=z", &[]).unwrap();
    assert!(matches!(list(models(), &page), Err(Error::FieldInvalid { param: "after_id", .. })));
    for query in ["limit=0", "limit=1001", "limit=x", "after_id=%2e%2e"] {
        assert!(asked("/v1/models", query, &[]).is_err(), "{query}");
    }
}

#[test]
fn anthropics_clients_get_twenty_at_once() {
    let limit = |headers: &[(&str, &[u8])]| asked("/v1/models", "", headers).unwrap().limit;
    assert_eq!(limit(&[("Anthropic-Version", b"2023-06-01")]), Some(20));
    assert_eq!(limit(&[("x-api-key", b"k")]), Some(20));
    assert_eq!(limit(&[("authorization", b"Bearer k")]), None);
}

#[test]
fn gemini_has_its_own_shape_and_tokens() {
    let page = asked("/v1beta/models", "key=x&pageSize=2&pageToken=a", &[]).unwrap();
    let list = read(&list(models(), &page).unwrap());
    assert_eq!(list["models"][0]["name"], "models/b");
    assert_eq!(list["models"][0]["inputTokenLimit"], 9);
    assert_eq!(list["nextPageToken"], "c");
    let page = asked("/v1/models", "", &[("x-goog-api-client", b"google-genai-sdk/3")]).unwrap();
    assert_eq!(page.form, Form::Gemini);
}
