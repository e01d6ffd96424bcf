//! Recovery of a filepact store: what to do with every document after a crash
