//! Links in the documents at the root lead somewhere.

use postern_tests::workspace::{self, SourceFile};

/// Links of `document` that lead nowhere. `exists` answers for paths, `text` reads another document.
fn broken(
    document: &SourceFile,
    exists: &dyn Fn(&str) -> bool,
    text: &dyn Fn(&str) -> String,
) -> Vec<String> {
    let mut problems = Vec::new();
    for (number, target) in links(&document.text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let missing_file = !path.is_empty() && !exists(path);
        let missing_heading = !missing_file && !anchor.is_empty() && {
            let other = if path.is_empty() { document.text.clone() } else { text(path) };
            !headings(&other).iter().any(|heading| heading == anchor)
        };
        if missing_file || missing_heading {
            problems.push(format!("{}:{number}: {target} leads nowhere", document.path));
        }
    }
    problems
}

fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for (at, _) in line.match_indices("](") {
            if let Some(end) = line[at..].find(')') {
                found.push((index + 1, &line[at + 2..at + end]));
            }
        }
    }
    found
}

/// Headings as anchors: lower case, spaces as dashes, punctuation dropped.
fn headings(text: &str) -> Vec<String> {
    let anchor = |title: &str| {
        let kept = title.trim().to_lowercase();
        let kept = kept.chars().filter(|c| c.is_alphanumeric() || *c == ' ' || *c == '-' || *c == '_');
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    };
    text.lines()
        .filter(|line| line.starts_with('#'))
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn links_in_root_documents_resolve() {
    let root = workspace::root();
    let is_root_document = |file: &SourceFile| {
        !file.path.contains('/')
            && std::path::Path::new(&file.path).extension().is_some_and(|extension| extension == "md")
    };
    let mut problems = Vec::new();
    let mut documents = 0;
    for document in workspace::files().iter().filter(|file| is_root_document(file)) {
        documents += 1;
        problems.extend(broken(document, &|path| root.join(path).exists(), &|path| workspace::read(path)));
    }
    super::none(&problems);
    assert!(documents >= 6, "found only {documents} documents at the root");
}

#[test]
fn a_broken_link_is_found() {
    let judge = |text: &str| {
        let document = SourceFile { path: "A.md".to_owned(), text: text.to_owned() };
        broken(&document, &|path| path == "B.md", &|_| "# Other title, here\n".to_owned()).len()
    };
    assert_eq!(judge("[b](B.md), [x](https://example.com), [me](#here)\n# Here\n"), 0);
    assert_eq!(judge("[b](B.md#other-title-here)"), 0);
    assert_eq!(judge("[b](C.md)"), 1);
    assert_eq!(judge("[b](B.md#gone) and [c](C.md)"), 2);
    assert_eq!(judge("[b](#gone)\n```\n[c](C.md)\n```\n"), 1);
}
