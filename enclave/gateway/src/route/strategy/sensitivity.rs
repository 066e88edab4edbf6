//! Labels of the content decide how far it may be exposed; inside that, the configuration's order.

use super::{Candidate, Settings, Strategy, StrategyKind, Wrong};
use crate::route::tree::{Ceilings, LeafSet, Question};

/// Makes [`Sensitivity`].
pub struct SensitivityKind;

impl StrategyKind for SensitivityKind {
    fn name(&self) -> &'static str {
        "sensitivity"
    }

    fn reads(&self) -> &'static [&'static str] {
        &["ceilings"]
    }

    fn configure(&self, settings: &Settings) -> Result<Box<dyn Strategy>, Wrong> {
        if settings.ceilings.is_empty() {
            let expected = "a label at least, such as { pii = \"attested\" }".to_owned();
            return Err(Wrong { member: None, key: "ceilings", expected });
        }
        let ceilings = settings.ceilings.iter().map(|(label, own)| (label.as_str().into(), *own)).collect();
        Ok(Box::new(Sensitivity { ceilings }))
    }
}

/// Takes away every leaf that exposes more than the labels allow. Only ever takes away.
pub struct Sensitivity {
    ceilings: Ceilings,
}

impl Strategy for Sensitivity {
    fn order(&self, _: &Question<'_>, _: &mut Vec<Candidate>) {}

    fn restrict(&self, question: &Question<'_>, eligible: LeafSet) -> LeafSet {
        match question.ceiling(&self.ceilings) {
            None => eligible,
            Some(most) => eligible & question.leaves_where(|leaf| leaf.deployment.exposure <= most),
        }
    }
}
