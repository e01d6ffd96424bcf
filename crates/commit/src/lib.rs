//! The critical section of filepact: from the writer lock to the published files
