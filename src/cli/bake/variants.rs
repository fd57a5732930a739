//! One command, several bakes: each template, with each combination of the values that `--matrix` gives.

use std::path::PathBuf;

use super::Failure;

/// No command makes more bakes than this: a slip of the keyboard must not cost hundreds of droplets.
const MOST: usize = 64;

/// What one of the bakes is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::cli) struct Variant {
    /// The template; `None`: the only one in templates/.
    pub(in crate::cli) template: Option<PathBuf>,
    /// `NAME=VALUE`, as with `--var`, and after it.
    pub(in crate::cli) variables: Vec<String>,
    /// What tells it from the others; `None` where there are none.
    pub(in crate::cli) label: Option<String>,
}

/// Templates times the values of every `--matrix NAME=VALUE,VALUE`, in the order in which they are written.
pub(in crate::cli) fn variants(templates: &[PathBuf], matrix: &[String]) -> Result<Vec<Variant>, Failure> {
    let mut rows: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for axis in matrix {
        let (name, values) = axis.split_once('=').unwrap_or((axis, ""));
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        if name.is_empty() || values.iter().any(|value| value.is_empty()) {
            return Err(Failure::usage(format!("--matrix takes NAME=VALUE,VALUE, not `{axis}`"))
                .with_help("for example: --matrix image=debian-12-x64,ubuntu-24-04-x64"));
        }
        if rows[0].iter().any(|(known, _)| *known == name) {
            return Err(Failure::usage(format!("--matrix gives `{name}` twice"))
                .with_help(format!("write all its values at once: --matrix {name}=A,B")));
        }
        rows = rows
            .iter()
            .flat_map(|row| values.iter().map(move |value| [row.as_slice(), &[(name, *value)]].concat()))
            .collect();
        if rows.len() > MOST {
            break;
        }
    }
    let templates: Vec<Option<PathBuf>> =
        if templates.is_empty() { vec![None] } else { templates.iter().cloned().map(Some).collect() };
    let several = templates.len() * rows.len();
    if several > MOST {
        return Err(Failure::usage(format!("one command makes at most {MOST} bakes; these are {several} or more"))
            .with_help("give fewer templates or fewer values to --matrix"));
    }
    let mut all = Vec::new();
    for template in &templates {
        for row in &rows {
            let stem = template.as_ref().and_then(|path| path.file_stem()).filter(|_| templates.len() > 1);
            let mut parts: Vec<String> = stem.map(|stem| stem.to_string_lossy().into_owned()).into_iter().collect();
            parts.extend(row.iter().map(|(_, value)| (*value).to_owned()));
            let mut label = parts.join(" ");
            if all.iter().any(|other: &Variant| other.label.as_ref() == Some(&label)) {
                label = format!("{label} {}", all.len() + 1);
            }
            all.push(Variant {
                template: template.clone(),
                variables: row.iter().map(|(name, value)| format!("{name}={value}")).collect(),
                label: (several > 1).then_some(label),
            });
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(templates: &[&str], matrix: &[&str]) -> Vec<(String, String)> {
        let templates: Vec<PathBuf> = templates.iter().map(PathBuf::from).collect();
        let matrix: Vec<String> = matrix.iter().map(|&axis| axis.to_owned()).collect();
        let made = variants(&templates, &matrix).unwrap();
        made.into_iter().map(|v| (v.label.unwrap_or_default(), v.variables.join(" "))).collect()
    }

    fn pair(label: &str, variables: &str) -> (String, String) {
        (label.to_owned(), variables.to_owned())
    }

    #[test]
    fn templates_and_values_are_multiplied() {
        assert_eq!(all(&[], &[]), [pair("", "")]);
        assert_eq!(all(&["templates/a.yaml"], &["image=x"]), [pair("", "image=x")]);
        assert_eq!(
            all(&[], &["image=x,y", "region=nyc3, fra1"]),
            [
                pair("x nyc3", "image=x region=nyc3"),
                pair("x fra1", "image=x region=fra1"),
                pair("y nyc3", "image=y region=nyc3"),
                pair("y fra1", "image=y region=fra1"),
            ]
        );
        assert_eq!(all(&["a/one.yaml", "b/one.yaml"], &[]), [pair("one", ""), pair("one 2", "")]);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let many = (0..70).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        for matrix in [&["image"][..], &["image="], &["=x"], &["image=x,,y"], &["a=1", "a=2"], &[&format!("a={many}")]]
        {
            let matrix: Vec<String> = matrix.iter().map(|&axis| axis.to_owned()).collect();
            assert!(variants(&[], &matrix).is_err(), "{matrix:?}");
        }
    }
}
