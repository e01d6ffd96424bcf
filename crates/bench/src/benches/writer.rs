//! Commits, one like the other, with another content each time.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Outcome;
use crate::document::{Body, next, number_of, path};
use crate::measure::timed;
use crate::systems::{Client, Put};

/// Which documents an operation is about.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Documents {
    /// The first one of them.
    pub(crate) first: u64,
    /// How many.
    pub(crate) docs: u64,
    /// How long each is, in bytes.
    pub(crate) bytes: usize,
    /// They lie scattered among the first so many, elsewhere each time.
    pub(crate) among: Option<u64>,
}

impl Documents {
    /// These, from the first one on.
    pub(crate) fn new(docs: u64, bytes: usize) -> Self {
        Self { first: 0, docs, bytes, among: None }
    }

    /// Their paths.
    pub(crate) fn paths(self) -> Vec<String> {
        (self.first..self.first + self.docs).map(path).collect()
    }

    /// All of them, with this content.
    pub(crate) fn puts(self, number: u64) -> Vec<Put> {
        self.puts_of(|_| number)
    }

    /// All of them, each with a content of its own, another one for each number.
    pub(crate) fn distinct_puts(self, number: u64) -> Vec<Put> {
        self.puts_of(|at| number << 20 | at)
    }

    fn puts_of(self, number: impl Fn(u64) -> u64) -> Vec<Put> {
        let mut body = Body::new(self.bytes);
        let puts = (0..).zip(self.paths()).map(|(at, path)| {
            body.set(number(at));
            Put { path, body: body.bytes().to_vec() }
        });
        puts.collect()
    }
}

/// Writes documents through a client; makes each content before the clock runs.
pub(crate) struct Writer {
    client: Box<dyn Client>,
    documents: Documents,
    body: Body,
    puts: Vec<Put>,
    /// Of the last content.
    number: u64,
    random: u64,
    /// How often it has updated.
    pub(crate) updates: u64,
}

impl Writer {
    pub(crate) fn new(client: Box<dyn Client>, documents: Documents) -> Self {
        let body = Body::new(documents.bytes);
        let puts = documents.puts(0);
        Self { client, documents, body, puts, number: 0, random: 1, updates: 0 }
    }

    /// One commit; how long it took.
    pub(crate) fn commit(&mut self) -> Outcome<Duration> {
        self.number += 1;
        if let Some(among) = self.documents.among {
            let start = next(&mut self.random) % among;
            let step = among / self.documents.docs;
            for (at, put) in self.puts.iter_mut().enumerate() {
                put.path = path((start + at as u64 * step) % among);
            }
        }
        for (at, put) in self.puts.iter_mut().enumerate() {
            self.body.set(self.number << 20 | at as u64);
            put.body.copy_from_slice(self.body.bytes());
        }
        timed(|| self.client.commit(&self.puts))
    }

    /// Documents are replaced, not made: writes them once, where they are not scattered among others.
    pub(crate) fn write_missing(&mut self) -> Outcome {
        match self.documents.among {
            Some(_) => Ok(()),
            None => self.client.commit(&self.puts),
        }
    }

    /// Reads the documents and writes the content that follows on each; how long it took.
    pub(crate) fn update(&mut self) -> Outcome<Duration> {
        let Self { client, documents, body, .. } = self;
        let paths: Vec<String> = documents.paths();
        let took = timed(|| {
            client.update(&paths, &mut |bytes| {
                body.set(number_of(bytes).ok_or("what was read is no document of ours")? + 1);
                Ok(body.bytes().to_vec())
            })
        })?;
        self.updates += 1;
        Ok(took)
    }

    /// An error unless every document reads as it was last written.
    pub(crate) fn check(&mut self) -> Outcome {
        let paths: Vec<String> = self.puts.iter().map(|put| put.path.clone()).collect();
        let mut wanted = self.puts.iter();
        self.client.read(&paths, &mut |bytes| match wanted.next() {
            Some(put) if put.body == bytes => Ok(()),
            _ => Err("a document does not read as it was written".into()),
        })
    }

    /// The numbers of the contents of the documents.
    pub(crate) fn numbers(&mut self) -> Outcome<Vec<u64>> {
        let mut numbers = Vec::new();
        self.client.read(&self.documents.paths(), &mut |bytes| {
            numbers.push(number_of(bytes).ok_or("what was read is no document of ours")?);
            Ok(())
        })?;
        Ok(numbers)
    }
}
