//! Labels: by them objects of a run are found, and nothing else is ever touched.

use std::collections::BTreeMap;

use mesh_proto::Plane;

use super::Blueprint;

/// The label that says of which run an object is.
pub(crate) const RUN: &str = "mesh/run";
/// The label that says which plane an agent stands in.
pub(crate) const PLANE: &str = "mesh/plane";
/// The annotation that says when agents end themselves.
pub(crate) const EXPIRES: &str = "mesh/expires";

/// The annotation that says where agents answer probes.
pub(crate) const PORT: &str = "mesh/responder-port";

/// The recommended labels (kubernetes.io/docs/concepts/overview/working-with-objects/common-labels) and ours.
pub(super) fn of(blueprint: &Blueprint, plane: Option<Plane>) -> BTreeMap<String, String> {
    let run = blueprint.run.as_str();
    let mut labels = BTreeMap::from([
        ("app.kubernetes.io/name".to_owned(), "mesh".to_owned()),
        ("app.kubernetes.io/instance".to_owned(), run.to_owned()),
        ("app.kubernetes.io/version".to_owned(), blueprint.version.clone()),
        (
            "app.kubernetes.io/component".to_owned(),
            component(plane).to_owned(),
        ),
        ("app.kubernetes.io/part-of".to_owned(), "mesh".to_owned()),
        ("app.kubernetes.io/managed-by".to_owned(), "mesh".to_owned()),
        (RUN.to_owned(), run.to_owned()),
    ]);
    if let Some(plane) = plane {
        labels.insert(PLANE.to_owned(), plane.to_string());
    }
    labels
}

fn component(plane: Option<Plane>) -> &'static str {
    if plane.is_some() { "agent" } else { "run" }
}

/// Objects of one run.
pub(crate) fn run_selector(run: &super::RunId) -> String {
    format!("{RUN}={run}")
}

/// Objects of any run.
pub(crate) fn selector_of_all() -> String {
    format!("app.kubernetes.io/managed-by=mesh,{RUN}")
}
