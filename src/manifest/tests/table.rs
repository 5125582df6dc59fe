//! The field table against the API's own types.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Secret};

use super::schema;
use crate::manifest::fields;
use crate::manifest::kind::Kind;

#[test]
fn every_field_of_the_api_has_a_rule() {
    for (kind, paths) in [
        (Kind::Pod, schema::paths::<Pod>("Pod")),
        (Kind::ConfigMap, schema::paths::<ConfigMap>("ConfigMap")),
        (Kind::Secret, schema::paths::<Secret>("Secret")),
        (Kind::Job, schema::paths::<Job>("Job")),
        (Kind::PersistentVolumeClaim, schema::paths::<PersistentVolumeClaim>("PersistentVolumeClaim")),
    ] {
        assert!(paths.contains("metadata.labels.*"), "{paths:?}");
        let missing: Vec<&String> = paths.iter().filter(|path| fields::answer(kind, path).is_none()).collect();
        assert!(missing.is_empty(), "{kind:?}: {missing:#?}");
    }
}

#[test]
fn every_row_is_a_field_of_the_api() {
    let pod = schema::paths::<Pod>("Pod");
    assert!(pod.contains("spec.initContainers[].livenessProbe.httpGet.port"));
    for (kind, paths) in [
        (Kind::Pod, pod),
        (Kind::ConfigMap, schema::paths::<ConfigMap>("ConfigMap")),
        (Kind::Secret, schema::paths::<Secret>("Secret")),
        (Kind::Job, schema::paths::<Job>("Job")),
        (Kind::PersistentVolumeClaim, schema::paths::<PersistentVolumeClaim>("PersistentVolumeClaim")),
    ] {
        for &(row, _) in fields::rows(kind) {
            // A row for one entry of a free-form map stands beside the one for all of them.
            let cut = if row.ends_with(']') { row.find('[') } else { row.rfind('.') };
            let parent = &row[..cut.unwrap_or(0)];
            let entry = format!("{parent}.*");
            assert!(row.is_empty() || paths.contains(row) || paths.contains(&entry), "{kind:?}: {row}");
        }
    }
}

#[test]
fn rows_are_in_order_and_none_is_below_one_that_stands_for_all() {
    for kind in Kind::ALL {
        for table in fields::tables(kind) {
            for pair in table.windows(2) {
                assert!(pair[0].0 < pair[1].0, "{} before {}", pair[0].0, pair[1].0);
            }
            for (row, rule) in table.iter().filter(|(_, rule)| rule.stands_for_all()) {
                let below = |other: &str| other.strip_prefix(row).is_some_and(|rest| rest.starts_with(['.', '[']));
                assert!(!table.iter().any(|(other, _)| below(other)), "{row}: {rule:?}");
            }
        }
    }
}
