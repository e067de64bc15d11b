//! Every mistake in the file at once, or a Plan that cannot be wrong.
