//! The options that commands share: `-C`, `--var`, `-q` and the like; `--format`; `--limit`;
//! `--matrix`.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use super::error::{ErrorKind, ExpectedError};
use super::terminal::{Color, Terminal};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Common options")]
pub(super) struct GlobalOptions {
    /// The project's directory; other paths on the command line are relative to it
    #[arg(id = "project_directory", short = 'C', value_name = "DIR", global = true)]
    pub(super) directory: Option<PathBuf>,
    /// Set a variable of the template; the last value wins
    #[arg(id = "global_variables", long = "var", value_name = "NAME=VALUE", global = true)]
    variables: Vec<String>,
    /// Set variables from a YAML or JSON file; later files win, and --var wins over files
    #[arg(id = "global_variable_files", long = "var-file", value_name = "FILE", global = true)]
    variable_files: Vec<PathBuf>,
    /// When to colour output; `auto` does so on a terminal unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = Color::Auto, global = true)]
    color: Color,
    /// Print errors and warnings only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    quiet: bool,
    /// Print more details; -vv prints every request to the API
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
}

/// What every command gets: the common options, and the terminal.
#[derive(Debug)]
pub struct Global {
    /// `-C`, if given.
    pub directory: Option<PathBuf>,
    /// `--var`, as given: `NAME=VALUE`.
    pub variables: Vec<String>,
    /// `--var-file`, in order, already relative to `-C`.
    pub variable_files: Vec<PathBuf>,
    pub terminal: Terminal,
}

impl From<GlobalOptions> for Global {
    fn from(options: GlobalOptions) -> Self {
        let terminal = Terminal::new(options.color, options.quiet, options.verbose);
        let mut global =
            Self { directory: options.directory, variables: options.variables, variable_files: Vec::new(), terminal };
        global.variable_files = options.variable_files.iter().map(|file| global.path(file)).collect();
        global
    }
}

impl Global {
    /// For work on one project regardless of the command line: no variables, quiet.
    pub(super) fn for_project(directory: &Path) -> Self {
        let terminal = Terminal::new(Color::Auto, true, 0);
        Self { directory: Some(directory.to_path_buf()), variables: Vec::new(), variable_files: Vec::new(), terminal }
    }

    /// A path of the command line, relative to `-C` (as with `git -C` and `make -C`).
    #[must_use]
    pub fn path(&self, path: &Path) -> PathBuf {
        self.directory.as_ref().map_or_else(|| path.to_path_buf(), |directory| directory.join(path))
    }
}

/// `--format` of the commands that print a list or a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(super) enum OutputFormat {
    #[default]
    Human,
    Json,
}

/// `--limit N|none`: a number of bytes, or no limit.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit(pub(super) Option<usize>);

impl FromStr for Limit {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => Ok(Self(None)),
            text => text.parse().map(|bytes| Self(Some(bytes))).map_err(|_| "expected a number of bytes, or `none`"),
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => write!(formatter, "{bytes}"),
            None => formatter.write_str("none"),
        }
    }
}

/// No command makes more bakes than this: a typing error must not cost hundreds of droplets.
const MAX_BAKES: usize = 64;

/// One of the bakes that a command asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variant {
    /// `None`: the only one in templates/.
    pub(super) template: Option<PathBuf>,
    /// `NAME=VALUE`, as with `--var`, and after it.
    pub(super) variables: Vec<String>,
    /// Distinguishes it from the others; `None` if it is the only one.
    pub(super) label: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum MatrixError {
    #[error("--matrix takes NAME=VALUE,VALUE, not `{0}`")]
    Malformed(String),
    #[error("--matrix gives `{0}` twice")]
    Repeated(String),
    #[error("one command makes at most {MAX_BAKES} bakes; these are {0} or more")]
    TooManyBakes(usize),
}

impl ExpectedError for MatrixError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Usage
    }
    fn help(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            Self::Malformed(_) => "for example: --matrix image=debian-12-x64,ubuntu-24-04-x64".into(),
            Self::Repeated(name) => format!("write all its values at once: --matrix {name}=A,B").into(),
            Self::TooManyBakes(_) => "give fewer templates or fewer values to --matrix".into(),
        })
    }
}

/// Every template with every combination of the `--matrix NAME=VALUE,VALUE` values, in the order of
/// the command line.
pub(super) fn variants(templates: &[PathBuf], matrix: &[String]) -> Result<Vec<Variant>, MatrixError> {
    let mut rows: Vec<Vec<(&str, &str)>> = vec![Vec::new()];
    for axis in matrix {
        let (name, values) = axis.split_once('=').unwrap_or((axis, ""));
        let values: Vec<&str> = values.split(',').map(str::trim).collect();
        if name.is_empty() || values.iter().any(|value| value.is_empty()) {
            return Err(MatrixError::Malformed(axis.clone()));
        }
        if rows[0].iter().any(|(known, _)| *known == name) {
            return Err(MatrixError::Repeated(name.to_owned()));
        }
        rows = rows
            .iter()
            .flat_map(|row| values.iter().map(move |value| [row.as_slice(), &[(name, *value)]].concat()))
            .collect();
        if rows.len() > MAX_BAKES {
            break;
        }
    }
    let templates: Vec<Option<PathBuf>> =
        if templates.is_empty() { vec![None] } else { templates.iter().cloned().map(Some).collect() };
    let count = templates.len() * rows.len();
    if count > MAX_BAKES {
        return Err(MatrixError::TooManyBakes(count));
    }
    let mut variants: Vec<Variant> = Vec::new();
    for template in &templates {
        for row in &rows {
            let stem = template.as_ref().and_then(|path| path.file_stem()).filter(|_| templates.len() > 1);
            let mut parts: Vec<String> = stem.map(|stem| stem.to_string_lossy().into_owned()).into_iter().collect();
            parts.extend(row.iter().map(|(_, value)| (*value).to_owned()));
            let mut label = parts.join(" ");
            if variants.iter().any(|other| other.label.as_ref() == Some(&label)) {
                label = format!("{label} {}", variants.len() + 1);
            }
            variants.push(Variant {
                template: template.clone(),
                variables: row.iter().map(|(name, value)| format!("{name}={value}")).collect(),
                label: (count > 1).then_some(label),
            });
        }
    }
    Ok(variants)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn multiply(templates: &[&str], matrix: &[&str]) -> Vec<(String, String)> {
        let templates: Vec<PathBuf> = templates.iter().map(PathBuf::from).collect();
        let matrix: Vec<String> = matrix.iter().map(|&axis| axis.to_owned()).collect();
        let variants = variants(&templates, &matrix).unwrap();
        variants.into_iter().map(|v| (v.label.unwrap_or_default(), v.variables.join(" "))).collect()
    }

    fn pair(label: &str, variables: &str) -> (String, String) {
        (label.to_owned(), variables.to_owned())
    }

    #[test]
    fn templates_and_values_are_multiplied() {
        assert_eq!(multiply(&[], &[]), [pair("", "")]);
        assert_eq!(multiply(&["templates/a.yaml"], &["image=x"]), [pair("", "image=x")]);
        assert_eq!(
            multiply(&[], &["image=x,y", "region=nyc3, fra1"]),
            [
                pair("x nyc3", "image=x region=nyc3"),
                pair("x fra1", "image=x region=fra1"),
                pair("y nyc3", "image=y region=nyc3"),
                pair("y fra1", "image=y region=fra1"),
            ]
        );
        assert_eq!(multiply(&["a/one.yaml", "b/one.yaml"], &[]), [pair("one", ""), pair("one 2", "")]);
    }

    #[test]
    fn a_wrong_matrix_is_refused_with_help() {
        let values = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        let refused = |matrix: &[&str]| {
            let matrix: Vec<String> = matrix.iter().map(|&axis| axis.to_owned()).collect();
            let error = variants(&[], &matrix).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Usage);
            (error.to_string(), error.help().unwrap().into_owned())
        };
        for matrix in ["image", "image=", "=x", "image=x,,y"] {
            let (error, help) = refused(&[matrix]);
            assert_eq!(error, format!("--matrix takes NAME=VALUE,VALUE, not `{matrix}`"));
            assert!(help.starts_with("for example: --matrix "), "{help}");
        }
        assert_eq!(refused(&["a=1", "a=2"]).1, "write all its values at once: --matrix a=A,B");
        assert!(refused(&[&format!("a={}", values(65))]).0.starts_with("one command makes at most 64 bakes"));
        assert_eq!(variants(&[], &[format!("a={}", values(64))]).unwrap().len(), 64);
    }
}
