//! Azure `OpenAI`: `OpenAI`'s API under names of one's own (Microsoft Learn, "Azure OpenAI REST API reference").
//!
//! With `api_version` the deployment is in the path and the body's `model` is ignored; without it, the newer `/openai/v1`
//! takes the deployment's name as `model`. Either way that name says nothing about the model, so `base_model` does, for
//! its price. The first chunk of a stream may have no choices, only the filter's results.

use std::sync::Arc;

use super::openai_compatible::{Completions, encode_openai, quirks};
use super::{Access, Authentication, Naming, Outgoing, Provider, Refusal, Wanted, explain_any};
use crate::deployment::Deployment;
use crate::error::Error;
use crate::upstream::UpstreamCall;
use crate::wire::dialect::Dialect;
use crate::wire::openai_chat::OpenAiChat;
use crate::wire::openai_completions::OpenAiCompletions;
use crate::wire::openai_responses::OpenAiResponses;

/// Azure `OpenAI`.
pub struct AzureOpenAi;

impl Provider for AzureOpenAi {
    fn name(&self) -> &'static str {
        "azure_openai"
    }

    fn access(&self) -> Access {
        // Each customer has an address of their own.
        Access { base_url: None, authentication: Authentication::Header("api-key") }
    }

    /// Only the API without versions has Responses.
    fn speaks(&self, asked: &'static dyn Dialect, at: &Deployment) -> &'static dyn Dialect {
        let (responses, completions): (&'static dyn Dialect, &'static dyn Dialect) =
            (&OpenAiResponses, &OpenAiCompletions);
        if at.api_version.is_none() && asked.name() == responses.name() {
            responses
        } else if asked.name() == completions.name() && Completions::Instruct.for_model(&at.model) {
            completions
        } else {
            &OpenAiChat
        }
    }

    fn base_path(&self, configured: String, naming: &Naming<'_>) -> Result<String, Wanted> {
        let resource = configured.strip_suffix("/v1").unwrap_or(&configured);
        let resource = resource.strip_suffix("/openai").unwrap_or(resource);
        match naming.api_version {
            None => Ok(format!("{resource}/openai/v1")),
            // One segment of the path: nothing in it may separate or escape.
            Some(_) if naming.model.contains(['/', '@', '+', ':']) => {
                let expected = "the name of an Azure deployment, or no 'api_version'";
                Err(Wanted { key: "model", expected })
            }
            Some(_) => Ok(format!("{resource}/openai/deployments/{}", naming.model)),
        }
    }

    fn encode(&self, outgoing: Outgoing<'_>, at: &Arc<Deployment>) -> Result<UpstreamCall, Error> {
        let mut call = encode_openai(outgoing, at, &quirks::NONE)?;
        if let Some(version) = &at.api_version {
            call.path.push_str("?api-version=");
            call.path.push_str(version);
        }
        Ok(call)
    }

    fn explain(&self, refusal: Refusal<'_>, at: &Deployment) -> Error {
        explain_any(refusal, at)
    }
}
