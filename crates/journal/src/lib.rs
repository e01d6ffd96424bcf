//! The journal of filepact: checksummed JSON lines in segments
