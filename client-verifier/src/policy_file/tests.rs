use super::*;
use attestation::policy::PcrRule;
use attestation::reference_values::{IdBlock, ReferenceValues};
use std::path::PathBuf;

fn filled() -> Template {
    Template {
        measurements: vec![Measurement::from_hex(&"ab".repeat(48)).unwrap()],
        hardware: vec![HardwareId::from_hex(&"cd".repeat(64)).unwrap()],
        deployment: Some("unpinned".into()),
        simulated_roots: Vec::new(),
        webpki: Some("required".into()),
        floors: None,
        ..Template::default()
    }
}

fn good() -> String {
    filled().render()
}

fn refused(text: &str) -> PolicyError {
    match parse(text, Path::new("/nonexistent")) {
        Ok(_) => panic!("accepted:\n{text}"),
        Err(error) => error,
    }
}

/// The good policy with the line that begins with `key` replaced.
fn with_line(key: &str, line: &str) -> String {
    let mut out = Vec::new();
    let mut skipping = false;
    let mut hit = false;
    for old in good().lines() {
        if old.starts_with(&format!("{key} = ")) || old.starts_with(&format!("\"{key}\" = ")) {
            out.push(line.to_owned());
            hit = true;
            skipping = old.ends_with('[');
        } else if skipping {
            skipping = old != "]";
        } else {
            out.push(old.to_owned());
        }
    }
    assert!(hit, "no line {key}");
    out.join("\n")
}

#[test]
fn a_filled_template_loads_and_means_what_it_says() {
    let policy = parse(&good(), Path::new("")).unwrap();
    assert_eq!(policy.binding, Binding::Session);
    assert_eq!(policy.post_quantum, PostQuantum::Strict);
    assert!(matches!(policy.webpki, WebPki::Required(_)));
    assert!(!policy.simulated() && policy.appraisal.trust_anchors.vendor);
    assert_eq!(policy.appraisal.max_evidence_age, Duration::from_mins(10));
    assert_eq!(policy.appraisal.config_rules.len(), 3);
    let rules: Vec<&str> = policy.waivers().iter().map(|waiver| waiver.rule).collect();
    assert_eq!(rules, ["release_manifest"]);
}

#[test]
fn an_unfilled_template_is_refused_with_the_line_to_fill() {
    let text = Template::default().render();
    let error = refused(&text);
    assert_eq!(error.code(), "POL_PLACEHOLDER");
    let line = text.lines().nth(error.line().unwrap() - 1).unwrap();
    assert!(line.contains(PLACEHOLDER), "{line}");
    for template in [
        Template { measurements: Vec::new(), ..filled() },
        Template { hardware: Vec::new(), ..filled() },
        Template { deployment: None, ..filled() },
        Template { webpki: None, ..filled() },
    ] {
        assert_eq!(refused(&template.render()).code(), "POL_PLACEHOLDER");
    }
}

#[test]
fn every_line_is_mandatory() {
    let good = good();
    let mut missing = 0;
    for (at, line) in good.lines().enumerate() {
        let Some((key, _)) = line.split_once(" = ").filter(|(key, _)| !key.starts_with('#')) else {
            continue;
        };
        if line.ends_with('[') {
            continue;
        }
        let others: Vec<&str> =
            good.lines().enumerate().filter(|(other, _)| *other != at).map(|(_, line)| line).collect();
        let text = others.join("\n");
        assert_eq!(refused(&text).code(), "POL_MISSING_KEY", "without {key}");
        missing += 1;
    }
    assert_eq!(missing, 13);
    for key in ["measurements", "hardware"] {
        assert_eq!(refused(&with_line(key, "")).code(), "POL_MISSING_KEY");
    }
    for section in ["[channel]", "[config_rules]"] {
        assert_ne!(refused(&good.replace(section, "[overrides_of_mine]")).code(), "POL_SYNTAX");
    }
}

#[test]
fn an_empty_list_accepts_nothing() {
    for key in ["measurements", "hardware", "tee_types"] {
        assert_eq!(refused(&with_line(key, &format!("{key} = []"))).code(), "POL_EMPTY_ALLOWLIST", "{key}");
    }
    let roots = with_line("webpki", "webpki = \"required\"\nwebpki_roots = []");
    assert_eq!(refused(&roots).code(), "POL_EMPTY_ALLOWLIST");
}

#[test]
fn an_unknown_key_is_an_error_with_the_nearest_known_one() {
    let error = refused(&good().replace("measurements =", "mesurements ="));
    assert_eq!(error.code(), "POL_UNKNOWN_KEY");
    assert!(error.to_string().ends_with("unknown key mesurements; did you mean measurements?"), "{error}");
    let error = refused(&good().replace("post_quantum =", "postquantum ="));
    assert!(error.to_string().ends_with("did you mean channel.post_quantum?"), "{error}");
    let error = refused(&good().replace("[overrides]", "[overrides]\nprovisional_ok_raeson = \"x\""));
    assert!(error.to_string().ends_with("did you mean overrides.provisional_ok_reason?"), "{error}");
    let error = refused(&with_line("/stream_shape", "\"/stream_shape\" = { nott = \"none\" }"));
    assert_eq!(error.code(), "POL_UNKNOWN_KEY");
    assert_eq!(refused(&format!("zzz = 1\n{}", good())).line(), Some(1));
}

#[test]
fn the_wrong_file_does_not_get_quoted() {
    for text in ["sk-very-secret-0123456789", "\"sk-very-secret = x\" = 1\n", "a = sk-very-secret"] {
        let error = refused(text);
        assert!(!error.to_string().contains("very-secret"), "{error}");
    }
}

#[test]
fn values_of_the_wrong_form_are_refused_with_their_line() {
    for (key, value) in [
        ("version", "2"),
        ("version", "\"1\""),
        ("profile", "\"lenient\""),
        ("tee_types", "[\"sgx\"]"),
        ("tee_types", "\"snp\""),
        ("measurements", "[\"abcd\"]"),
        ("measurements", "[1]"),
        ("measurements", "\"any\""),
        ("hardware", "[\"XX\"]"),
        ("hardware", "\"any\""),
        ("deployment", "\"none\""),
        ("simulated_roots", "\"root.der\""),
        ("max_evidence_age_minutes", "-1"),
        ("max_evidence_age_minutes", "10.5"),
        ("max_evidence_age_minutes", "99999999999999999999999999"),
        ("binding", "\"none\""),
        ("post_quantum", "true"),
        ("webpki", "\"maybe\""),
        ("/debug", "[1]"),
        ("/debug", "{}"),
        ("/debug", "{ not = 1, at_least = 2 }"),
    ] {
        let line =
            if key.starts_with('/') { format!("\"{key}\" = {value}") } else { format!("{key} = {value}") };
        let text = with_line(key, &line);
        let error = refused(&text);
        assert_eq!(error.code(), "POL_VALUE", "{line}: {error}");
        assert_eq!(text.lines().nth(error.line().unwrap() - 1), Some(line.as_str()), "{error}");
    }
    for minutes in ["0", "61"] {
        let text = with_line("max_evidence_age_minutes", &format!("max_evidence_age_minutes = {minutes}"));
        assert_eq!(refused(&text).code(), "POL_INVALID");
    }
    assert_eq!(refused(&with_line("floors", "floors = \"nowhere.json\"")).code(), "POL_FILE");
    assert_eq!(
        refused(&with_line("simulated_roots", "simulated_roots = [\"nowhere.der\"]")).code(),
        "POL_FILE"
    );
    assert_eq!(refused("version = 1\nversion = 1").code(), "POL_SYNTAX");
    assert_eq!(refused("").code(), "POL_MISSING_KEY");
}

#[test]
fn floors_from_outside_are_signed_or_said_not_to_be() {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("floors.json");
    std::fs::write(&file, attestation::floors::SHIPPED).unwrap();
    let release = Ed25519KeyPair::from_seed_unchecked(&[3; 32]).unwrap();
    let named = with_line("floors", "floors = \"floors.json\"");
    let key = attestation::digest::to_hex(release.public_key().as_ref());
    let keyed = with_line("floors", &format!("floors = \"floors.json\"\nfloors_key = \"{key}\""));
    let unsigned =
        |policy: &ClientPolicy| policy.waivers().iter().any(|waiver| waiver.rule == "snp.floors_signature");
    assert!(unsigned(&parse(&named, folder.path()).unwrap()));
    let code = |text: &str| parse(text, folder.path()).map(|_| ()).map_err(|error| error.code().to_owned());
    assert_eq!(code(&keyed), Err("POL_FILE".to_owned()), "a key and no signature");
    let signature = release.sign(&attestation::floors::signed_message(attestation::floors::SHIPPED));
    std::fs::write(folder.path().join("floors.json.sig"), signature.as_ref()).unwrap();
    assert!(!unsigned(&parse(&keyed, folder.path()).unwrap()));
    assert!(!unsigned(&parse(&good(), folder.path()).unwrap()), "the shipped file is part of the program");
    let other = keyed.replace(&key, &"0".repeat(64));
    assert_eq!(code(&other), Err("REL_UNVERIFIED".to_owned()));
    assert_eq!(code(&keyed.replace(&key, "00")), Err("POL_VALUE".to_owned()));
}

#[test]
fn loosenings_have_names_and_are_listed() {
    let loose = good()
        .replace("\"required\"", "\"not-required\"")
        .replace("post_quantum = \"strict\"", "post_quantum = \"compat\"")
        .replace(
            "[overrides]",
            "[overrides]\naccept_risk = [\"milan-root-seed\"]\nreport_version = 2\nprovisional_ok_reason = \"new\"\n\
             offline_grace_reason = \"ship\"\nfloors_grace_days = 14\n",
        );
    let policy = parse(&loose, Path::new("")).unwrap();
    let rules: Vec<&str> = policy.waivers().iter().map(|waiver| waiver.rule).collect();
    for rule in [
        "snp.products",
        "snp.report_version",
        "snp.provisional",
        "snp.revocation",
        "snp.floors",
        "channel.post_quantum",
        "channel.webpki",
    ] {
        assert!(rules.contains(&rule), "{rule} not in {rules:?}");
    }
    let any = with_line("hardware", "hardware = \"any\"")
        .replace("[overrides]", "[overrides]\nhardware_any_reason = \"a test\"");
    let policy = parse(&any, Path::new("")).unwrap();
    assert!(policy.waivers().iter().any(|waiver| waiver.rule == "hardware" && waiver.reason == "a test"));
    let milan_anywhere = any.replace("[overrides]", "[overrides]\naccept_risk = [\"milan-root-seed\"]");
    assert_eq!(refused(&milan_anywhere).code(), "POL_INVALID");
    assert_eq!(
        refused(&good().replace("[overrides]", "[overrides]\nfloors_grace_days = 15")).code(),
        "POL_INVALID"
    );
    let stray = good().replace("[overrides]", "[overrides]\nhardware_any_reason = \"x\"");
    assert_eq!(refused(&stray).code(), "POL_VALUE");
}

#[test]
fn a_simulated_root_excludes_the_vendors() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ark.der"), [0x30, 0x00]).unwrap();
    std::fs::write(folder.path().join("ark.pem"), "-----BEGIN").unwrap();
    let named = |name: &str| Template { simulated_roots: vec![PathBuf::from(name)], ..filled() }.render();
    let policy = parse(&named("ark.der"), folder.path()).unwrap();
    assert!(policy.simulated() && !policy.appraisal.trust_anchors.vendor);
    assert_eq!(policy.appraisal.trust_anchors.simulated_roots, [vec![0x30, 0x00]]);
    match parse(&named("ark.pem"), folder.path()) {
        Err(error) => assert_eq!(error.code(), "POL_VALUE"),
        Ok(_) => panic!("a PEM text is not a DER root"),
    }
}

#[test]
fn private_public_roots_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let pem = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    std::fs::write(folder.path().join("roots.pem"), pem).unwrap();
    std::fs::write(folder.path().join("none.pem"), "nothing here").unwrap();
    let text = with_line("webpki", "webpki = \"required\"\nwebpki_roots = [\"roots.pem\"]");
    match parse(&text, folder.path()).unwrap().webpki {
        WebPki::Required(roots) => assert_eq!(roots.len(), 1),
        WebPki::NotRequired => panic!("required"),
    }
    let text = text.replace("roots.pem", "none.pem");
    assert_eq!(parse(&text, folder.path()).unwrap_err().code(), "POL_VALUE");
}

#[test]
fn any_bytes_give_a_policy_or_an_error() {
    let good = good();
    for cut in (0..good.len()).step_by(7) {
        drop(parse(good.get(..cut).unwrap_or_default(), Path::new("")));
    }
    let deep = format!("hardware = {}{}", "[".repeat(5000), "]".repeat(5000));
    assert_eq!(refused(&deep).code(), "POL_SYNTAX");
    assert_eq!(load(Path::new("/nonexistent/policy.toml")).unwrap_err().code(), "POL_FILE");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.toml");
    std::fs::write(&path, vec![b'#'; MAX_POLICY_BYTES + 1]).unwrap();
    assert_eq!(load(&path).unwrap_err().code(), "POL_FILE");
    std::fs::write(&path, [0xff, 0xfe]).unwrap();
    assert_eq!(load(&path).unwrap_err().code(), "POL_SYNTAX");
}

#[test]
fn tdx_needs_every_register_of_a_release() {
    let tdx = with_line("tee_types", "tee_types = [\"tdx\"]");
    assert_eq!(refused(&tdx).code(), "POL_EMPTY_ALLOWLIST");
    let register = "0a".repeat(48);
    let entry = format!(
        "[[tdx]]\nmrtd = \"{register}\"\nrtmr0 = \"{register}\"\nrtmr1 = \"{register}\"\nrtmr2 = \"{register}\"\n\
         xfam = \"0xe7\"\n"
    );
    let good = format!("{tdx}\n{entry}");
    assert!(matches!(
        parse(&good, Path::new("")).unwrap().appraisal.tdx.references,
        attestation::policy::TdxReferences::Pinned(releases) if releases.len() == 1
    ));
    for line in entry.lines().skip(1) {
        assert_eq!(refused(&good.replace(line, "")).code(), "POL_MISSING_KEY", "{line}");
    }
    assert_eq!(refused(&good.replace("\"0xe7\"", "\"0xe4\"")).code(), "POL_VALUE");
    assert_eq!(refused(&good.replace("rtmr2 =", "rtmr3 =")).code(), "POL_UNKNOWN_KEY");
    assert_eq!(refused(&good.replace(&register, "0a")).code(), "POL_VALUE");
}

/// A policy for Azure's guests on SEV-SNP with the values of a real machine's paravisor.
fn azure() -> String {
    let text = with_line("tee_types", "tee_types = [\"az-snp\"]");
    let registers: Vec<String> =
        [4, 7, 9, 11].iter().map(|index| format!("pcr{index} = \"{}\"", "0b".repeat(32))).collect();
    let paravisor = format!(
        "measurement = \"{}\"\nid_key_digest = \"{}\"\nfamily_id = \"01232{}\"\nimage_id = \"02{}\"\nguest_svn = 10",
        "f5".repeat(48),
        "94".repeat(48),
        "0".repeat(27),
        "0".repeat(30)
    );
    let text = text.replace("[overrides]", "[overrides]\nabi = \"0.31\"");
    format!("{text}\n[[azure]]\n{}\n[[azure_paravisor]]\n{paravisor}\n", registers.join("\n"))
}

#[test]
fn azure_needs_registers_and_a_paravisor() {
    let policy = parse(&azure(), Path::new("")).unwrap();
    let PcrRule::Pinned(releases) = &policy.appraisal.azure.pcrs else { panic!("pinned") };
    assert_eq!(releases[0].values.keys().copied().collect::<Vec<_>>(), [4, 7, 9, 11]);
    let ReferenceValues::Pinned(paravisors) = &policy.appraisal.references else { panic!("pinned") };
    let paravisor = paravisors.last().unwrap();
    assert_eq!(paravisor.measurement, Requirement::Exactly(Measurement::new([0xf5; 48])));
    assert_eq!(paravisor.guest_svn, Requirement::AtLeast(10));
    let keys = IdBlock::Keys { id_key_digest: [0x94; 48], author_key_digest: None };
    assert_eq!(paravisor.id_block, keys);
    let rules: Vec<&str> = policy.waivers().iter().map(|waiver| waiver.rule).collect();
    assert!(rules.contains(&"snp.abi"), "{rules:?}");

    let code = |from: &str, to: &str| {
        assert!(azure().contains(from), "{from}");
        refused(&azure().replacen(from, to, 1)).code().to_owned()
    };
    assert_eq!(code("[[azure]]\npcr4", "[[azure]]\npcr5"), "POL_INVALID");
    assert_eq!(code("[[azure]]\npcr4", "[[azure]]\npcr24"), "POL_UNKNOWN_KEY");
    assert_eq!(code("0b0b", "0b"), "POL_VALUE");
    assert_eq!(code("\nfamily_id", "\nimage_idd"), "POL_UNKNOWN_KEY");
    assert_eq!(code("\nguest_svn = 10", ""), "POL_MISSING_KEY");
    assert_eq!(code("\"0.31\"", "\"0.031\""), "POL_VALUE");
    let none = with_line("tee_types", "tee_types = [\"az-snp\"]");
    assert_eq!(refused(&none).code(), "POL_EMPTY_ALLOWLIST");
    let fewer = azure()
        .replacen("[overrides]", "[overrides]\nazure_pcrs = [11]", 1)
        .replacen("pcr4 = ", "pcr5 = ", 1);
    let fewer = parse(&fewer, Path::new("")).unwrap();
    assert!(fewer.waivers().iter().any(|waiver| waiver.rule == "azure.mandatory_pcrs"));
    let wrong = azure().replacen("[overrides]", "[overrides]\nazure_pcrs = [24]", 1);
    assert_eq!(refused(&wrong).code(), "POL_VALUE");
}

#[test]
fn tables_of_a_release_are_written_and_read_again() {
    let value = |byte: &str, bytes: usize| Some(byte.repeat(bytes));
    let azure = Table {
        name: "azure",
        keys: vec![
            ("pcr4", value("04", 32)),
            ("pcr9", value("09", 32)),
            ("pcr11", value("11", 32)),
            ("pcr7", None),
        ],
    };
    let tdx = Table {
        name: "tdx",
        keys: ["mrtd", "rtmr0", "rtmr1", "rtmr2"].map(|key| (key, value("0a", 48))).into(),
    };
    let template = |tee, tables: Vec<Table>| {
        Template { tee: Some(tee), measurements: Vec::new(), tables, ..filled() }.render()
    };
    let open = template(TeeType::AzureTdx, vec![azure.clone(), tdx.clone()]);
    assert!(open.contains("tee_types = [\"az-tdx\"]") && open.contains("measurements = []"), "{open}");
    assert_eq!(refused(&open).code(), "POL_MISSING_KEY", "the table lacks xfam");
    let whole = |mut azure: Table, mut tdx: Table| {
        azure.keys[3].1 = value("07", 32);
        tdx.keys.push(("xfam", Some("0xe7".to_owned())));
        template(TeeType::AzureTdx, vec![azure, tdx])
    };
    let policy = parse(&whole(azure.clone(), tdx.clone()), Path::new("")).unwrap();
    let PcrRule::Pinned(releases) = &policy.appraisal.azure.pcrs else { panic!("pinned") };
    assert_eq!(releases[0].values[&7], attestation::Sha256::new([7; 32]));
    let unfilled = whole(azure, tdx).replace(&format!("\"{}\"", "07".repeat(32)), "\"FILL-IN: x\"");
    assert_eq!(refused(&unfilled).code(), "POL_PLACEHOLDER");
}

/// Google's endorsement of firmware and its root in a folder, and a policy for SEV-SNP that names them.
fn google() -> (tempfile::TempDir, String) {
    use simtee::google::{Golden, GoogleAuthority};
    let authority = GoogleAuthority::create(1_795_219_200).unwrap();
    let golden = Golden {
        issued_at: 1_795_219_200,
        change: 700,
        digest: vec![0xd1; 48],
        snp: Some((3, vec![(4, vec![0x3e; 48])])),
        tdx: Some((5, vec![(16, vec![0x7d; 48]), (32, vec![0x7e; 48])])),
        more: Vec::new(),
    };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("firmware.binarypb"), authority.endorse(&golden).unwrap()).unwrap();
    std::fs::write(folder.path().join("root.crt"), authority.root_certificate().unwrap()).unwrap();
    let entry = "[[gcp]]\ntee = \"snp\"\nlaunch_endorsement = \"firmware.binarypb\"\nroot = \"root.crt\"\n\
                 minimum_svn = 3\n";
    let text = with_line("measurements", "measurements = []")
        .replace("[overrides]", "[overrides]\ngcp_firmware_only_reason = \"a test\"");
    (folder, format!("{text}\n{entry}"))
}

#[test]
fn google_s_firmware_needs_its_endorsement_root_version_and_reason() {
    let (folder, good) = google();
    let policy = parse(&good, folder.path()).unwrap();
    let ReferenceValues::Pinned(releases) = &policy.appraisal.references else { panic!("pinned") };
    assert_eq!(releases[0].measurement, Requirement::OneOf(vec![Measurement::new([0x3e; 48])]));
    assert!(policy.waivers().iter().any(|own| own.rule == "snp.firmware_only" && own.reason == "a test"));
    let code = |from: &str, to: &str| {
        // the last one: the template's comments come before
        let (before, after) = good.rsplit_once(from).unwrap();
        let error = parse(&format!("{before}{to}{after}"), folder.path()).unwrap_err();
        assert!(error.line().is_some(), "{error}");
        error.code().to_owned()
    };
    assert_eq!(code("minimum_svn = 3", "minimum_svn = 4"), "GCP_SVN");
    assert_eq!(code("minimum_svn = 3\n", ""), "POL_MISSING_KEY");
    assert_eq!(code("root = \"root.crt\"\n", ""), "POL_MISSING_KEY");
    assert_eq!(code("\"root.crt\"", "\"firmware.binarypb\""), "GCP_CHAIN");
    assert_eq!(code("\"firmware.binarypb\"", "\"root.crt\""), "GCP_ENDORSEMENT");
    assert_eq!(code("\"firmware.binarypb\"", "\"nowhere\""), "POL_FILE");
    assert_eq!(code("tee = \"snp\"", "tee = \"sgx\""), "POL_VALUE");
    assert_eq!(code("gcp_firmware_only_reason = \"a test\"\n", ""), "POL_VALUE");
    assert_eq!(code("minimum_svn", "svn"), "POL_UNKNOWN_KEY");
    let stray = with_line("floors", "floors = \"shipped\"")
        .replace("[overrides]", "[overrides]\ngcp_firmware_only_reason = \"a test\"");
    assert_eq!(refused(&stray).code(), "POL_VALUE");
}

#[test]
fn on_tdx_google_s_endorsement_stands_for_mrtd() {
    let (folder, snp) = google();
    let register = "0a".repeat(48);
    let release = format!(
        "[[tdx]]\nmrtd = \"gcp\"\nrtmr0 = \"{register}\"\nrtmr1 = \"{register}\"\nrtmr2 = \"{register}\"\nxfam = \"0xe7\"\n"
    );
    let tdx = snp
        .replace("gcp_firmware_only_reason = \"a test\"\n", "")
        .replace("tee = \"snp\"", "tee = \"tdx\"")
        .replace("tee_types = [\"snp\"]", "tee_types = [\"tdx\"]");
    let policy = parse(&format!("{tdx}{release}"), folder.path()).unwrap();
    let attestation::policy::TdxReferences::Pinned(releases) = &policy.appraisal.tdx.references else {
        panic!("pinned")
    };
    let endorsed = vec![Measurement::new([0x7d; 48]), Measurement::new([0x7e; 48])];
    assert_eq!((releases.len(), &releases[0].mr_td), (1, &Requirement::OneOf(endorsed)));
    assert!(releases[0].voucher.endorsement().is_some());
    let code = |text: &str| parse(text, folder.path()).unwrap_err().code().to_owned();
    let pinned = release.replace("\"gcp\"", &format!("\"{register}\""));
    assert_eq!(code(&format!("{tdx}{pinned}")), "POL_VALUE", "an endorsement that nothing uses");
    let alone = with_line("tee_types", "tee_types = [\"tdx\"]");
    assert_eq!(code(&format!("{alone}\n{release}")), "POL_VALUE", "no endorsement");
    let high = tdx.replace("minimum_svn = 3", "minimum_svn = 6");
    assert_eq!(code(&format!("{high}{release}")), "GCP_SVN");
}
