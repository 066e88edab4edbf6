//! The list: what is taken out, and by which tests that is noticed.

/// One defence.
pub(super) struct Defence {
    /// As `THREAT_MODEL.md` calls it.
    pub(super) name: &'static str,
    /// What takes it out.
    pub(super) edits: &'static [Edit],
    /// Each of these then fails.
    pub(super) fails: &'static [Test],
}

/// A text that stands in the file once, and what stands there instead when the defence is off.
pub(super) struct Edit {
    pub(super) file: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

/// A test, and where cargo finds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    pub(super) package: &'static str,
    /// `--lib`, or the name of an integration test.
    pub(super) target: &'static str,
    pub(super) name: &'static str,
}

/// The package whose tests start programs.
pub(super) const SYSTEM: &str = "postern-tests";

const fn system(target: &'static str, name: &'static str) -> Test {
    Test { package: SYSTEM, target, name }
}

const fn unit(package: &'static str, name: &'static str) -> Test {
    Test { package, target: "--lib", name }
}

const fn edit(file: &'static str, from: &'static str, to: &'static str) -> Edit {
    Edit { file, from, to }
}

const NOTHING_LEFT: Test =
    system("canary", "an_idle_connection_of_http1_keeps_nothing_and_a_closed_one_neither");

pub(super) const DEFENCES: &[Defence] = &[
    // what the process takes away from itself
    Defence {
        name: "not dumpable",
        edits: &[edit(
            "enclave/src/hardening.rs",
            "set_dumpable_behavior(DumpableBehavior::NotDumpable)",
            "set_dumpable_behavior(DumpableBehavior::Dumpable)",
        )],
        fails: &[system("e2e", "its_memory_is_closed_to_other_processes_of_its_user")],
    },
    Defence {
        name: "no core file",
        edits: &[edit("enclave/src/hardening.rs", ".and_then(|()| setrlimit(Resource::Core, none))", "")],
        fails: &[system("e2e", "it_leaves_no_core_file")],
    },
    Defence {
        name: "system call filter, no new privileges",
        edits: &[
            edit(
                "enclave/src/hardening.rs",
                "seccompiler::apply_filter(&program).map_err(|_| HardeningError::Filter)?;",
                "drop(program);",
            ),
            // The filter's library sets it once more.
            edit("enclave/src/hardening.rs", ".and_then(|()| set_no_new_privs(true))", ""),
        ],
        fails: &[
            system("e2e", "every_thread_is_behind_the_filter_and_gains_no_privileges"),
            Test {
                package: "postern-enclave",
                target: "confinement",
                name: "nothing_but_the_allowed_calls_gets_through",
            },
        ],
    },
    Defence {
        name: "locked memory",
        edits: &[edit(
            "enclave/src/hardening.rs",
            "lock_memory().map_err(HardeningError::MemoryLock)?;",
            "lock_memory().ok();\n            rustix::mm::munlockall().ok();",
        )],
        fails: &[system("e2e", "its_memory_is_locked")],
    },
    Defence {
        name: "panics without their message",
        edits: &[edit(
            "enclave/src/main.rs",
            "postern_enclave::telemetry::report_panics_without_their_message();",
            "",
        )],
        fails: &[system("e2e", "a_panic_of_the_real_program_says_where_and_not_what")],
    },
    Defence {
        name: "idle connections are closed",
        edits: &[edit(
            "enclave/src/ingress/http1.rs",
            "if waiting { limits.idle_time() }",
            "if waiting { Duration::from_secs(600) }",
        )],
        fails: &[system("e2e", "an_idle_connection_is_closed")],
    },
    // plaintext that is no longer needed
    Defence {
        name: "wiping of freed memory",
        edits: &[edit(
            "enclave/src/main.rs",
            "static ALLOCATOR: postern_alloc::ZeroOnFree = postern_alloc::ZeroOnFree::new();",
            "static ALLOCATOR: std::alloc::System = std::alloc::System;",
        )],
        fails: &[NOTHING_LEFT],
    },
    Defence {
        name: "wiping of stacks",
        edits: &[edit("enclave/src/wipe.rs", "[0_u8; STACK_BYTES]", "[0_u8; STACK_BYTES / STACK_BYTES]")],
        fails: &[NOTHING_LEFT],
    },
    Defence {
        name: "wiping of buffers that stay in use",
        edits: &[edit("enclave/src/wipe.rs", "buffer.fill(0);", "")],
        fails: &[NOTHING_LEFT],
    },
    Defence {
        name: "wiping of the TLS library's buffers",
        edits: &[edit("enclave/src/transport/read_ahead.rs", "lent.fill(0);", "")],
        fails: &[unit("postern-enclave", "a_read_that_waits_wipes_the_room_it_was_lent"), NOTHING_LEFT],
    },
    // what lengths and times show
    Defence {
        name: "shaping of streams",
        edits: &[edit(
            "enclave/src/ingress/shape.rs",
            "StreamShape::Bucketed => self.bucketed(out, clock).await,",
            "StreamShape::Bucketed => self.stream.next(out, clock).await,",
        )],
        fails: &[system("traffic", "row_42_shaped_streams_do_not_tell_their_topics_apart")],
    },
    Defence {
        name: "padding of whole answers",
        edits: &[edit(
            "enclave/src/ingress/shape.rs",
            "StreamShape::Bucketed | StreamShape::Constant => padded_length(length),",
            "StreamShape::Bucketed | StreamShape::Constant => length,",
        )],
        fails: &[system("e2e", "whole_answers_and_errors_end_in_spaces")],
    },
    Defence {
        name: "padding of requests by the verifier",
        edits: &[edit(
            "client-verifier/src/channel/padding.rs",
            "let is_padded = request.extensions().get::<Padded>().is_some();",
            "let is_padded = request.version() == request.version();",
        )],
        fails: &[system("traffic", "prompts_of_similar_length_look_alike_on_both_legs")],
    },
    Defence {
        name: "padding of requests to the provider",
        edits: &[edit(
            "enclave/src/upstream/exchange.rs",
            "if takes_padding(call) { padded_length(parts.length()) }",
            "if takes_padding(call) { parts.length() }",
        )],
        fails: &[system("traffic", "prompts_of_similar_length_look_alike_on_both_legs")],
    },
    // what the client checks before it sends a byte
    Defence {
        name: "launch measurement",
        edits: &[edit(
            "attestation/src/platform/sev_snp/judge.rs",
            "list.holds(steps::MEASUREMENT, false, format!(\"one of [{}]\", known.join(\", \")), found)?;",
            "list.holds(steps::MEASUREMENT, true, format!(\"one of [{}]\", known.join(\", \")), found)?;",
        )],
        fails: &[system("threats", "row_01_another_measurement_is_refused")],
    },
    Defence {
        name: "hardware allow-list",
        edits: &[edit(
            "attestation/src/appraise.rs",
            "hardware.hardware_id.as_ref().is_some_and(|id| ids.contains(id));",
            "!ids.is_empty();",
        )],
        fails: &[system("threats", "row_03_an_unlisted_chip_is_refused")],
    },
    Defence {
        name: "nonce in the evidence",
        edits: &[edit("attestation/src/appraise.rs", "freshness::nonce(&claims, expected, list)?;", "")],
        fails: &[system("threats", "row_04_replayed_evidence_is_refused")],
    },
    Defence {
        name: "claims are those that the hardware signed",
        edits: &[edit(
            "attestation/src/appraise.rs",
            "list.holds(REPORT_DATA, stated.is_to(&committed),",
            "list.holds(REPORT_DATA, true,",
        )],
        fails: &[system("threats", "row_19_claims_cut_back_are_refused")],
    },
    Defence {
        name: "end of the keyset",
        edits: &[edit("attestation/src/appraise.rs", "freshness::keyset(&keyset, now, list)?;", "")],
        fails: &[system("threats", "row_30_a_wrong_clock_is_named")],
    },
    Defence {
        name: "rules for the public configuration",
        edits: &[edit(
            "attestation/src/appraise.rs",
            "config_rules::judge(config, &policy.config_rules)",
            "config_rules::judge(config, &[])",
        )],
        fails: &[system("threats", "row_45_a_changed_configuration_is_refused")],
    },
    Defence {
        name: "TLS key in the keyset",
        edits: &[edit(
            "attestation/src/appraise/verified.rs",
            "entry.spki_sha256 == *spki && entry.names",
            "entry.names",
        )],
        fails: &[system("threats", "row_07_a_certificate_of_his_own_is_refused")],
    },
    Defence {
        name: "signature over the exporter",
        edits: &[edit(
            "attestation/src/appraise/verified.rs",
            "verify_session(&self.keyset.sbk, &transcript, signature)?;",
            "verify_session(&self.keyset.sbk, &transcript, signature).ok();",
        )],
        fails: &[
            system("threats", "row_08_a_stolen_tls_key_is_not_enough"),
            system("threats", "row_09_a_forwarded_bind_nonce_is_refused"),
        ],
    },
    Defence {
        name: "an event stream ends with its terminal event",
        edits: &[edit(
            "client-verifier/src/channel/event_stream.rs",
            "self.complete || self.terminal == Terminal::Framing",
            "self.complete || self.terminal == self.terminal",
        )],
        fails: &[Test {
            package: "postern-client",
            target: "it",
            name: "an_answer_that_breaks_off_is_never_complete",
        }],
    },
    Defence {
        name: "token of the local proxy",
        edits: &[edit(
            "client-verifier/src/local_proxy/guard.rs",
            "self.0.as_bytes().ct_eq(candidate).into()",
            "self.0.len() >= candidate.len()",
        )],
        fails: &[unit("postern-client", "a_missing_or_wrong_token_is_denied")],
    },
    Defence {
        name: "host and origin of requests to the local proxy",
        edits: &[edit(
            "client-verifier/src/local_proxy/guard.rs",
            "self.authorities.iter().any(|ours| ours.eq_ignore_ascii_case(name))",
            "!self.authorities.is_empty() && !name.is_empty()",
        )],
        fails: &[unit("postern-client", "a_foreign_host_or_origin_is_denied_even_with_the_token")],
    },
    Defence {
        name: "the log only grows for a client that saw it",
        edits: &[edit(
            "client-verifier/src/state_file.rs",
            "(found.size < before.size || (found.size == before.size && found.root != before.root))",
            "found.size < before.size.min(1)",
        )],
        fails: &[
            system("threats", "row_35_a_disk_that_was_put_back_is_shown_to_those_who_saw_more"),
            system("threats", "row_36_two_continuations_of_one_disk_are_a_fork"),
        ],
    },
    // what the enclave does not do for anybody
    Defence {
        name: "only own claims are quoted",
        edits: &[edit(
            "enclave/src/agent.rs",
            "let data = report_data(&claims);",
            "let data = report_data(&epoch.keyset);",
        )],
        fails: &[system("threats", "row_11_nothing_but_its_own_claims_is_ever_signed")],
    },
    Defence {
        name: "no resumption of TLS sessions",
        edits: &[edit(
            "enclave/src/tls.rs",
            "config.send_tls13_tickets = 0;\n    config.session_storage = Arc::new(NoServerSessionStorage {});",
            "config.session_storage = rustls::server::ServerSessionMemoryCache::new(32);",
        )],
        fails: &[system("threats", "row_18_the_enclave_refuses_weaker_tls")],
    },
    Defence {
        name: "certificates of upstreams",
        edits: &[
            edit("enclave/src/upstream/web_pki.rs", "ocsp_response, now)?;", "ocsp_response, now).ok();"),
            edit(
                "enclave/src/upstream/web_pki.rs",
                "ocsp_response, later)",
                "ocsp_response, later)\n            .or_else(|_| Ok(ServerCertVerified::assertion()))",
            ),
        ],
        fails: &[system(
            "threats",
            "row_31_a_provider_with_a_certificate_of_the_hosts_making_gets_no_prompt",
        )],
    },
    Defence {
        name: "authorities of one deployment vouch for no other",
        edits: &[edit(
            "enclave/src/upstream/connection.rs",
            "made.iter().find(|(own, _)| own == roots)",
            "made.first()",
        )],
        fails: &[system("threats", "row_31_an_authority_is_believed_where_it_is_named_and_nowhere_else")],
    },
    Defence {
        name: "certificates of upstreams hold for seven more days",
        edits: &[edit(
            "enclave/src/upstream/web_pki.rs",
            "Duration::from_hours(7 * 24)",
            "Duration::from_hours(0)",
        )],
        fails: &[unit("postern-enclave", "a_certificate_about_to_expire_is_refused")],
    },
    Defence {
        name: "no silent repetition of calls",
        edits: &[edit(
            "enclave/src/upstream.rs",
            "Ok(sent) => return exchange::answer(sent, &self.pool).await,",
            "Ok(sent) => {\n                    if let Ok(answer) = exchange::answer(sent, &self.pool).await {\n                        return Ok(answer);\n                    }\n                }",
        )],
        fails: &[system("threats", "row_25_a_call_that_was_taken_whole_is_repeated_only_as_configured")],
    },
    Defence {
        name: "entropy gate",
        edits: &[edit("enclave/src/entropy.rs", "if *first == *second {", "if first.is_empty() {")],
        fails: &[unit("postern-enclave", "stuck_or_dead_sources_make_no_keys")],
    },
    Defence {
        name: "time is not before the release",
        edits: &[edit("enclave/src/clock.rs", "claimed.max(RELEASED)", "claimed.max(RELEASED.min(claimed))")],
        fails: &[unit("postern-enclave", "a_clock_set_back_beyond_the_release_is_not_believed")],
    },
    // what one client can take from the others
    Defence {
        name: "limit of heads",
        edits: &[edit(
            "enclave/src/ingress/http1.rs",
            "self.duplex.received().len() >= header_bytes",
            "self.duplex.received().len() >= header_bytes * 64",
        )],
        fails: &[system("e2e", "a_long_head_is_refused")],
    },
    Defence {
        name: "time for heads",
        edits: &[edit(
            "enclave/src/ingress/http1.rs",
            "if between_requests {\n                by = deadline(header_time);",
            "if between_requests {\n                by = deadline(header_time * 600);",
        )],
        fails: &[system("e2e", "a_slow_head_is_cut_off")],
    },
    Defence {
        name: "limit of bodies",
        // Looked at twice: in the head, and by whoever reads the body.
        edits: &[
            edit(
                "enclave/gateway/src/pipeline.rs",
                "if length.is_some_and(|length| length > limit) {",
                "if length.is_some_and(|length| length > limit * 64) {",
            ),
            edit(
                "enclave/src/ingress/http1/duplex.rs",
                "Ok(length) if length <= limit =>",
                "Ok(length) if length <= limit * 64 =>",
            ),
        ],
        fails: &[system("e2e", "a_long_body_is_refused_before_it_is_read")],
    },
    Defence {
        name: "limit of connections",
        edits: &[edit(
            "enclave/src/worker.rs",
            "(before < self.limits.connections).then_some(place)",
            "(before < self.limits.connections * 64).then_some(place)",
        )],
        fails: &[system("e2e", "connections_beyond_the_limit_are_closed")],
    },
    Defence {
        name: "limit of evidence",
        edits: &[edit(
            "enclave/src/agent.rs",
            "self.rate.take(now).map_err(|retry_after| AgentError::Busy { retry_after })?;",
            "self.rate.take(now).ok();",
        )],
        fails: &[system("e2e", "a_flood_of_evidence_requests_is_turned_away_with_advice")],
    },
    // what is kept, and by whom it is given
    Defence {
        name: "a sealed record opens in its place only",
        edits: &[
            edit(
                "enclave/state/src/seal.rs",
                "Aad::from(self.bound(at, self.epoch, version)),",
                "Aad::from([0_u8; 62]),",
            ),
            edit(
                "enclave/state/src/seal.rs",
                "let aad = Aad::from(self.bound(at, epoch, version));",
                "let aad = Aad::from([0_u8; 62]);",
            ),
        ],
        fails: &[unit("postern-state", "a_record_opens_where_and_as_what_it_was_sealed_and_nowhere_else")],
    },
    Defence {
        name: "kept state needs lease mode",
        edits: &[edit("enclave/src/kept.rs", "return Err(StateError::RollbackUnprovable.into());", "")],
        fails: &[unit("postern-enclave", "a_store_that_outlives_the_process_starts_in_lease_mode_only")],
    },
    Defence {
        name: "the operator's signature under secrets",
        edits: &[edit(
            "enclave/src/provisioning.rs",
            "sealed.verify(operator.as_bytes())?;",
            "sealed.verify(operator.as_bytes()).ok();",
        )],
        fails: &[system("threats", "the_host_cannot_give_secrets_of_its_own")],
    },
];
