//! A simulated file system that crashes, for the tests of filepact
