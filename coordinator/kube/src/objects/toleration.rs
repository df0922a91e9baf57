//! Tolerations, where not everything is tolerated.

use crate::discover::{NodeTaint, TaintEffect};

/// What taint agents put up with. Written `KEY[=VALUE][:EFFECT]`, as kubectl taint does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    pub(crate) key: String,
    pub(crate) value: Option<String>,
    pub(crate) effect: Option<String>,
}

impl std::str::FromStr for Toleration {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (rest, effect) = match text.rsplit_once(':') {
            Some((rest, effect @ ("NoSchedule" | "PreferNoSchedule" | "NoExecute"))) => {
                (rest, Some(effect.to_owned()))
            }
            Some((_, effect)) => {
                return Err(format!(
                    "{effect:?} is none of NoSchedule, PreferNoSchedule, NoExecute"
                ));
            }
            None => (text, None),
        };
        let (key, value) = match rest.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (rest, None),
        };
        if key.is_empty() {
            return Err(
                "it is KEY[=VALUE][:EFFECT]; without VALUE and EFFECT it fits any of the key's taints"
                    .to_owned(),
            );
        }
        Ok(Self {
            key: key.to_owned(),
            value,
            effect,
        })
    }
}

impl Toleration {
    /// Whether it fits a taint.
    fn fits(&self, taint: &NodeTaint) -> bool {
        let same_value = self.value.is_none() || self.value == taint.value;
        let taint = taint.to_string();
        let effect = taint.rsplit(':').next();
        let key = taint.split(['=', ':']).next();
        key == Some(&self.key) && same_value && (self.effect.is_none() || self.effect.as_deref() == effect)
    }

    /// Whether a taint keeps a DaemonSet's pods off that have these tolerations. Those of the node's own condition never
    /// do: the DaemonSet controller adds tolerations of them.
    pub fn are_kept_off(tolerations: &[Self], taint: &NodeTaint) -> bool {
        let hard = matches!(taint.effect, TaintEffect::NoSchedule | TaintEffect::NoExecute);
        hard && !taint.key.starts_with("node.kubernetes.io/") && !tolerations.iter().any(|of| of.fits(taint))
    }
}
