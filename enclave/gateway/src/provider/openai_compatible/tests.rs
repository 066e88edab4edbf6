use super::*;

#[test]
fn every_vendor_is_found_by_its_name() {
    for vendor in VENDORS {
        let found = crate::provider::find(vendor.name).expect("registered");
        assert_eq!(found.name(), vendor.name);
    }
    let names: std::collections::BTreeSet<_> = crate::provider::names().collect();
    assert_eq!(names.len(), crate::provider::names().count(), "no name twice");
}

#[test]
fn every_address_is_https_without_a_slash_at_the_end() {
    for url in VENDORS.iter().filter_map(|vendor| vendor.base_url) {
        assert!(url.starts_with("https://") && !url.ends_with('/'), "{url}");
    }
}
