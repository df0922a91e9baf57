//! The rights that a run needs, in one list: they are asked for before anything is made, the manifest in `deploy/` is
//! written from them, and a test compares.

mod cluster_roles;
mod serve_roles;

use futures_util::future::try_join_all;
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, ResourceRule, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
    SelfSubjectRulesReview, SelfSubjectRulesReviewSpec,
};
use kube::api::{Api, PostParams};

pub use self::cluster_roles::cluster_roles;
pub use self::serve_roles::serve_roles;
use crate::{ApiError, Kube};

/// One kind of object, what is done to it, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// The API group; empty for the core.
    pub group: &'static str,
    /// In the plural, with a subresource after a slash: `pods/log`.
    pub resource: &'static str,
    /// What is done.
    pub verbs: &'static [&'static str],
    /// Where.
    pub place: Place,
    /// What for, in words.
    pub reason: &'static str,
}

/// Where a right is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Objects of the whole cluster.
    Cluster,
    /// Whatever namespace they stand in.
    Everywhere,
    /// The namespace of the run.
    Run,
    /// The same, only where the run makes its own namespace.
    OwnNamespace,
}

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
    place: Place,
    reason: &'static str,
) -> Right {
    Right {
        group,
        resource,
        verbs,
        place,
        reason,
    }
}

/// All that `mesh run` needs.
pub const RIGHTS: &[Right] = &[
    right("", "nodes", &["list"], Place::Cluster, "which nodes there are"),
    right(
        "",
        "namespaces",
        &["create", "delete", "list", "patch", "watch"],
        Place::OwnNamespace,
        "a namespace for the run",
    ),
    right(
        "",
        "services",
        &["get", "list"],
        Place::Everywhere,
        "the API service and kube-dns",
    ),
    right(
        "discovery.k8s.io",
        "endpointslices",
        &["list"],
        Place::Everywhere,
        "where these lead",
    ),
    right(
        "",
        "pods",
        &["deletecollection", "list", "watch"],
        Place::Run,
        "whether agents came up",
    ),
    right("", "events", &["list", "watch"], Place::Run, "why they did not"),
    right(
        "",
        "pods/log",
        &["get"],
        Place::Run,
        "the last words of an agent that crashed",
    ),
    right(
        "",
        "pods/portforward",
        &["create", "get"],
        Place::Run,
        "to reach agents where the network is broken",
    ),
    right(
        "apps",
        "daemonsets",
        &["create", "deletecollection", "list", "patch", "watch"],
        Place::Run,
        "an agent on each node",
    ),
    right(
        "",
        "services",
        &["create", "deletecollection", "list", "patch"],
        Place::Run,
        "two NodePort services to probe",
    ),
    right(
        "",
        "secrets",
        &["create", "deletecollection", "list", "patch"],
        Place::Run,
        "the run's own keys",
    ),
    right(
        "coordination.k8s.io",
        "leases",
        &["create", "deletecollection", "list", "patch"],
        Place::Run,
        "to tell a run that lives from one that was killed",
    ),
];

/// Rights that are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The verb.
    pub verb: &'static str,
    /// The resource, with its group.
    pub resource: String,
    /// Where; `None` for the whole cluster.
    pub namespace: Option<String>,
    /// What it is needed for.
    pub reason: &'static str,
}

impl Missing {
    fn in_words(&self, verbs: &str) -> String {
        let place = match &self.namespace {
            Some(namespace) => format!("in namespace {namespace}"),
            None => "in the whole cluster".to_owned(),
        };
        format!("{verbs} {} {place} ({})", self.resource, self.reason)
    }
}

/// Why a run may not be.
#[derive(Debug, thiserror::Error)]
pub enum RightsError {
    /// The API server could not be asked.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// These rights are missing.
    #[error(
        "you lack rights that a run needs:\n  {}\ndeploy/rbac.yaml grants them, and nothing else",
        listed(missing)
    )]
    Missing {
        /// Which.
        missing: Vec<Missing>,
    },
}

/// A line for each kind of object.
fn listed(missing: &[Missing]) -> String {
    let of_one_kind = |a: &Missing, b: &Missing| (&a.resource, &a.namespace) == (&b.resource, &b.namespace);
    let line = |kind: &[Missing]| {
        let verbs: Vec<&str> = kind.iter().map(|missing| missing.verb).collect();
        kind[0].in_words(&verbs.join(", "))
    };
    let lines: Vec<String> = missing.chunk_by(of_one_kind).map(line).collect();
    lines.join("\n  ")
}

/// Asks for each right; nothing is made. `namespace` is the one that the run stands in, `own` whether it makes that. One
/// question is enough where the API server lists all rules; each right that they do not show is asked for by itself, since
/// an authoriser may know more than it lists.
pub async fn check_rights(kube: &Kube, namespace: &str, own: bool) -> Result<(), RightsError> {
    let rules = rules(kube, namespace).await;
    let reviews = Api::<SelfSubjectAccessReview>::all(kube.client.clone());
    let asked = RIGHTS
        .iter()
        .filter(|right| own || right.place != Place::OwnNamespace)
        .flat_map(|right| right.verbs.iter().map(move |verb| (right, *verb)))
        .filter(|(right, verb)| {
            right.place != Place::Run || !rules.iter().any(|rule| shows(rule, right, verb))
        });
    let answers = asked.map(|(right, verb)| {
        let (attributes, missing) = question(right, verb, namespace);
        let reviews = &reviews;
        async move {
            let review = SelfSubjectAccessReview {
                spec: SelfSubjectAccessReviewSpec {
                    resource_attributes: Some(attributes),
                    ..SelfSubjectAccessReviewSpec::default()
                },
                ..SelfSubjectAccessReview::default()
            };
            let review = reviews.create(&PostParams::default(), &review).await;
            let review = review.map_err(ApiError::of("ask what you may do"))?;
            let allowed = review.status.is_some_and(|status| status.allowed);
            Ok::<_, RightsError>((!allowed).then_some(missing))
        }
    });
    let missing: Vec<Missing> = try_join_all(answers).await?.into_iter().flatten().collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(RightsError::Missing { missing })
    }
}

/// The rules that hold in a namespace, as far as the API server lists them.
async fn rules(kube: &Kube, namespace: &str) -> Vec<ResourceRule> {
    let reviews = Api::<SelfSubjectRulesReview>::all(kube.client.clone());
    let review = SelfSubjectRulesReview {
        spec: SelfSubjectRulesReviewSpec {
            namespace: Some(namespace.to_owned()),
        },
        ..SelfSubjectRulesReview::default()
    };
    // It only saves questions.
    let review = reviews.create(&PostParams::default(), &review).await.ok();
    review
        .and_then(|review| review.status)
        .map(|status| status.resource_rules)
        .unwrap_or_default()
}

/// Whether a rule grants a right, to objects of any name.
fn shows(rule: &ResourceRule, right: &Right, verb: &str) -> bool {
    let has = |list: Option<&Vec<String>>, wanted: &str| {
        list.is_some_and(|list| list.iter().any(|entry| entry == "*" || entry == wanted))
    };
    let any_name = rule.resource_names.as_ref().is_none_or(Vec::is_empty);
    any_name
        && has(rule.api_groups.as_ref(), right.group)
        && has(rule.resources.as_ref(), right.resource)
        && has(Some(&rule.verbs), verb)
}

fn question(right: &Right, verb: &'static str, namespace: &str) -> (ResourceAttributes, Missing) {
    let (resource, subresource) = match right.resource.split_once('/') {
        Some((resource, subresource)) => (resource, Some(subresource.to_owned())),
        None => (right.resource, None),
    };
    let namespace = matches!(right.place, Place::Run).then(|| namespace.to_owned());
    let group = if right.group.is_empty() {
        String::new()
    } else {
        format!(".{}", right.group)
    };
    let missing = Missing {
        verb,
        resource: format!("{}{group}", right.resource),
        namespace: namespace.clone(),
        reason: right.reason,
    };
    let attributes = ResourceAttributes {
        group: Some(right.group.to_owned()),
        resource: Some(resource.to_owned()),
        subresource,
        verb: Some(verb.to_owned()),
        namespace,
        ..ResourceAttributes::default()
    };
    (attributes, missing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said_as_kubectl_says_it_a_line_for_each_kind() {
        let of = |resource: &str, verbs: &[&'static str]| {
            let right = RIGHTS.iter().find(|right| right.resource == resource).unwrap();
            let asked = verbs.iter().map(|verb| question(right, verb, "tests"));
            asked.collect::<Vec<_>>()
        };
        let asked = [of("nodes", &["list"]), of("daemonsets", &["create", "patch"])].concat();
        let namespaces: Vec<_> = asked.iter().map(|(of, _)| of.namespace.as_deref()).collect();
        assert_eq!(namespaces, [None, Some("tests"), Some("tests")]);
        let missing: Vec<Missing> = asked.into_iter().map(|(_, missing)| missing).collect();
        assert_eq!(
            listed(&missing),
            "list nodes in the whole cluster (which nodes there are)\n  create, patch daemonsets.apps in namespace tests (an \
             agent on each node)"
        );
    }

    #[test]
    fn a_rule_shows_a_right_only_for_all_names() {
        let rule = |names: Option<Vec<String>>| ResourceRule {
            api_groups: Some(vec!["*".to_owned()]),
            resources: Some(vec!["pods".to_owned()]),
            verbs: vec!["list".to_owned()],
            resource_names: names,
        };
        let pods = RIGHTS.iter().find(|right| right.resource == "pods").unwrap();
        assert!(shows(&rule(None), pods, "list"));
        assert!(!shows(&rule(None), pods, "watch"));
        assert!(!shows(&rule(Some(vec!["a".to_owned()])), pods, "list"));
    }
}
