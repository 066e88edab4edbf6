//! Whatever is done to the bytes of a document, what is then accepted says the same as before.

use crate::world::World;
use attestation::EvidenceDocument;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use simtee::Product;

/// One edit of a text of bytes; places are taken modulo its length.
#[derive(Clone, Debug)]
enum Edit {
    Copy { from: usize, length: usize, to: usize },
    Cut { at: usize, length: usize },
    Insert { at: usize, bytes: Vec<u8> },
    Overwrite { at: usize, bytes: Vec<u8> },
}

impl Edit {
    fn apply(&self, text: &mut Vec<u8>) {
        let place = |at: usize, text: &[u8]| at % (text.len() + 1);
        match self {
            Self::Copy { from, length, to } => {
                let start = place(*from, text);
                let piece = text[start..(start + length).min(text.len())].to_vec();
                Self::Overwrite { at: *to, bytes: piece }.apply(text);
            }
            Self::Cut { at, length } => {
                let start = place(*at, text);
                text.drain(start..(start + length).min(text.len()));
            }
            Self::Insert { at, bytes } => {
                let start = place(*at, text);
                text.splice(start..start, bytes.iter().copied());
            }
            Self::Overwrite { at, bytes } => {
                let start = place(*at, text);
                let end = (start + bytes.len()).min(text.len());
                text[start..end].copy_from_slice(&bytes[..end - start]);
            }
        }
    }
}

fn edit() -> impl Strategy<Value = Edit> {
    let bytes = || proptest::collection::vec(any::<u8>(), 1..24);
    prop_oneof![
        (any::<usize>(), 1..64_usize, any::<usize>()).prop_map(|(from, length, to)| Edit::Copy {
            from,
            length,
            to
        }),
        (any::<usize>(), 1..64_usize).prop_map(|(at, length)| Edit::Cut { at, length }),
        (any::<usize>(), bytes()).prop_map(|(at, bytes)| Edit::Insert { at, bytes }),
        (any::<usize>(), bytes()).prop_map(|(at, bytes)| Edit::Overwrite { at, bytes }),
    ]
}

fn every_edit_holds(product: Product) {
    let world = World::new(product);
    let good = world.document();
    let edits = proptest::collection::vec(edit(), 1..4);
    let config = ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = TestRunner::new(config).run(&edits, |edits| {
        let mut text = good.encode();
        for edit in &edits {
            edit.apply(&mut text);
        }
        let Ok(changed) = EvidenceDocument::decode(&text) else { return Ok(()) };
        if world.accepts(&changed) {
            prop_assert!(changed.cpu.bytes == good.cpu.bytes, "another report was accepted");
            prop_assert!(changed.claims == good.claims, "other claims were accepted");
            prop_assert!(changed.keyset == good.keyset, "another keyset was accepted");
        }
        Ok(())
    });
    outcome.unwrap();
}

#[test]
fn an_edited_genoa_document_is_refused_or_says_the_same() {
    every_edit_holds(Product::Genoa);
}

#[test]
fn an_edited_turin_document_is_refused_or_says_the_same() {
    every_edit_holds(Product::Turin);
}

#[test]
fn the_unedited_document_is_accepted() {
    let world = World::new(Product::Genoa);
    let again = EvidenceDocument::decode(&world.document().encode()).expect("own encoding");
    assert!(world.accepts(&again));
}
