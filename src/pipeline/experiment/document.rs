//! An experiment as a document, and what makes it acceptable.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::pipeline::recipe::is_name;
use crate::types::{Surface, WORD_BYTES_MAX};

/// The most arms of an experiment.
pub const ARMS_MAX: usize = 16;
/// The most places from the top that a shadow is compared in.
pub const SHADOW_K_MAX: u32 = 100;
/// The largest weight of an arm.
const WEIGHT_MAX: u32 = 1_000_000;

/// Recipes tried on the listeners of one surface.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Experiment {
    /// Whose requests it is about: those of this surface that name no recipe themselves.
    pub surface: Surface,
    /// 1 to 64 of a-z, 0-9, _ and -.
    pub name: String,
    /// 1 and up, counted by surface; given by the database.
    #[serde(default)]
    pub version: u32,
    /// Decides, with a listener's id, their arm; the name when absent. 1 to 256 bytes. The same salt is the same split,
    /// whatever the recipes: keep it when a new version only goes on with the same listeners.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub salt: Option<String>,
    /// 2 to 16, or none when only a shadow runs.
    #[serde(default)]
    pub arms: Vec<Arm>,
    /// The recipe in the shadow of what is served, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shadow: Option<Shadow>,
}

/// One part of the listeners.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// 1 to 64 of a-z, 0-9, _ and -; none twice.
    pub name: String,
    /// `name@version` of a recipe.
    pub recipe: String,
    /// Its share of the listeners is this against the sum of all weights; 1 to 1,000,000.
    #[serde(default = "one")]
    pub weight: u32,
}

/// A recipe that is asked for lists nobody is shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shadow {
    /// `name@version` of a recipe.
    pub recipe: String,
    /// Share of the requests it is asked as well, above 0 to 1. What it costs: this share of the processor that lists take.
    pub share: f64,
    /// Places from the top that are compared, 1 to 100.
    #[serde(default = "ten")]
    pub k: u32,
}

fn one() -> u32 {
    1
}

fn ten() -> u32 {
    10
}

impl Experiment {
    /// `name@version`, as replies name it.
    #[must_use]
    pub fn reference(&self) -> String {
        format!("{}@{}", self.name, self.version)
    }

    /// What splits the listeners.
    #[must_use]
    pub fn salt(&self) -> &str {
        self.salt.as_deref().unwrap_or(&self.name)
    }

    /// Names and versions of all recipes it needs.
    ///
    /// # Errors
    /// `InvalidField` for one that is not `name@version`.
    pub fn recipes(&self) -> Result<Vec<(&str, u32)>> {
        let arms = self.arms.iter().map(|arm| ("arms.recipe", arm.recipe.as_str()));
        let shadow = self.shadow.iter().map(|shadow| ("shadow.recipe", shadow.recipe.as_str()));
        arms.chain(shadow).map(|(field, recipe)| exact(field, recipe)).collect()
    }

    /// Checks every field that does not need the database. The version is not judged: the database gives it.
    ///
    /// # Errors
    /// `InvalidField` naming the first field that is wrong.
    pub fn validate(&self) -> Result<()> {
        named("name", &self.name)?;
        if let Some(salt) = &self.salt {
            ensure((1..=WORD_BYTES_MAX).contains(&salt.len()), "salt", || {
                format!("must have 1 to {WORD_BYTES_MAX} bytes. bytes=`{}`", salt.len())
            })?;
        }
        let arms = self.arms.len();
        ensure(arms > 0 || self.shadow.is_some(), "arms", || {
            "an experiment needs arms, a shadow, or both".to_owned()
        })?;
        ensure(arms == 0 || (2..=ARMS_MAX).contains(&arms), "arms", || {
            format!("must be 2 to {ARMS_MAX}, or none with a shadow alone. arms=`{arms}`")
        })?;
        let mut names = BTreeSet::new();
        for Arm { name, weight, .. } in &self.arms {
            named("arms.name", name)?;
            ensure(names.insert(name), "arms.name", || format!("comes twice. name=`{name}`"))?;
            ensure((1..=WEIGHT_MAX).contains(weight), "arms.weight", || {
                format!("must be 1 to {WEIGHT_MAX}. weight=`{weight}`")
            })?;
        }
        if let Some(Shadow { share, k, .. }) = &self.shadow {
            ensure(*share > 0.0 && *share <= 1.0, "shadow.share", || {
                format!("must be above 0 and at most 1. share=`{share}`")
            })?;
            ensure((1..=SHADOW_K_MAX).contains(k), "shadow.k", || {
                format!("must be 1 to {SHADOW_K_MAX}. k=`{k}`")
            })?;
        }
        self.recipes().map(drop)
    }
}

/// The two parts of `name@version`.
fn exact<'a>(field: &'static str, recipe: &'a str) -> Result<(&'a str, u32)> {
    let parts = recipe.split_once('@').filter(|(name, _)| is_name(name));
    let parts = parts.and_then(|(name, version)| Some((name, version.parse::<u32>().ok()?)));
    // Written in one way only: `+1` and `01` are numbers, too.
    parts.filter(|(name, version)| format!("{name}@{version}") == recipe).ok_or_else(|| {
        let start: String = recipe.chars().take(WORD_BYTES_MAX).collect();
        Error::invalid(
            field,
            format!("must be NAME@VERSION, so that it never changes. recipe=`{}`", start.escape_debug()),
        )
    })
}

fn named(field: &'static str, name: &str) -> Result<()> {
    ensure(is_name(name), field, || {
        let start: String = name.chars().take(WORD_BYTES_MAX).collect();
        format!("must be 1 to 64 of a-z, 0-9, _ and -. name=`{}`", start.escape_debug())
    })
}

fn ensure(holds: bool, field: &'static str, reason: impl FnOnce() -> String) -> Result<()> {
    if holds { Ok(()) } else { Err(Error::invalid(field, reason())) }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Two arms, one to three, and a shadow.
    pub(in crate::pipeline::experiment) fn experiment() -> Experiment {
        let arm = |name: &str, recipe: &str, weight| Arm { name: name.into(), recipe: recipe.into(), weight };
        Experiment {
            surface: Surface::new("radio").expect("valid"),
            name: "arc".into(),
            version: 0,
            salt: None,
            arms: vec![arm("now", "radio@1", 3), arm("new", "default@1", 1)],
            shadow: Some(Shadow { recipe: "daily_mix@1".into(), share: 0.25, k: 10 }),
        }
    }

    #[test]
    fn what_is_wrong_is_named_by_field() {
        assert!(experiment().validate().is_ok());
        assert_eq!(experiment().recipes().expect("valid"), [("radio", 1), ("default", 1), ("daily_mix", 1)]);
        type Change = fn(&mut Experiment);
        let cases: [(&str, Change); 16] = [
            ("name", |e| e.name = "Arc!".into()),
            ("salt", |e| e.salt = Some(String::new())),
            ("arms", |e| (e.arms, e.shadow) = (Vec::new(), None)),
            ("arms", |e| drop(e.arms.pop())),
            ("arms", |e| e.arms = vec![e.arms[0].clone(); 17]),
            ("arms.name", |e| e.arms[1].name = "now".into()),
            ("arms.name", |e| e.arms[1].name.clear()),
            ("arms.weight", |e| e.arms[1].weight = 0),
            ("arms.weight", |e| e.arms[1].weight = u32::MAX),
            ("arms.recipe", |e| e.arms[1].recipe = "radio".into()),
            ("arms.recipe", |e| e.arms[1].recipe = "radio@+1".into()),
            ("arms.recipe", |e| e.arms[1].recipe = "radio@01".into()),
            ("shadow.share", |e| e.shadow.iter_mut().for_each(|s| s.share = f64::NAN)),
            ("shadow.share", |e| e.shadow.iter_mut().for_each(|s| s.share = 1.5)),
            ("shadow.k", |e| e.shadow.iter_mut().for_each(|s| s.k = 0)),
            ("shadow.recipe", |e| e.shadow.iter_mut().for_each(|s| s.recipe = "@1".into())),
        ];
        for (field, change) in cases {
            let mut changed = experiment();
            change(&mut changed);
            let error = changed.validate().expect_err(field).to_string();
            assert!(error.starts_with(&format!("{field}: ")), "{field}: {error}");
        }
        let alone = Experiment { arms: Vec::new(), ..experiment() };
        assert!(alone.validate().is_ok(), "a shadow alone");
    }

    #[test]
    fn a_document_needs_little_and_says_what_it_does_not_know() {
        let text = r#"{"surface": "radio", "name": "arc", "arms": [
            {"name": "a", "recipe": "radio@1"}, {"name": "b", "recipe": "radio@2", "weight": 4}]}"#;
        let read: Experiment = serde_json::from_str(text).expect("valid");
        assert_eq!((read.arms[0].weight, read.arms[1].weight, read.salt()), (1, 4, "arc"));
        let again: Experiment =
            serde_json::from_str(&serde_json::to_string(&read).expect("plain")).expect("valid");
        assert_eq!(again, read);
        let toml = toml::to_string_pretty(&experiment()).expect("plain");
        assert_eq!(toml::from_str::<Experiment>(&toml).expect("valid"), experiment());
        assert!(serde_json::from_str::<Experiment>(&text.replace("weight", "wieght")).is_err());
    }
}
