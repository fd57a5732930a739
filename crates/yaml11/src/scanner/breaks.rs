//! Runs of line breaks, however long, in little space.

use super::Pieces;

/// Line breaks between the lines of a scalar. Nearly all are `\n`, so only the number of those is kept.
#[derive(Debug, Default)]
pub(super) struct Breaks<'a> {
    newlines: usize,
    /// In order, once one is LS or PS.
    mixed: Option<Vec<&'a str>>,
}

impl<'a> Breaks<'a> {
    pub(super) fn push(&mut self, text: &'a str) {
        match &mut self.mixed {
            Some(mixed) => mixed.push(text),
            None if text == "\n" => self.newlines += 1,
            None => {
                let mut mixed = vec!["\n"; self.newlines];
                mixed.push(text);
                self.mixed = Some(mixed);
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.newlines == 0 && self.mixed.is_none()
    }

    pub(super) fn write(&self, pieces: &mut Pieces<'a>) {
        match &self.mixed {
            Some(mixed) => mixed.iter().for_each(|text| pieces.push(text)),
            None => (0..self.newlines).for_each(|_| pieces.push("\n")),
        }
    }
}
