//! Golden plans: what a whole pod becomes.

use serde_json::json;

use super::fixture::Fixture;
use super::render;

#[test]
fn a_hello_pod() {
    let fixture = Fixture::container(json!({ "command": ["echo", "hello"] }));
    insta::assert_json_snapshot!(render(&fixture.plan().unwrap()).unwrap());
}
