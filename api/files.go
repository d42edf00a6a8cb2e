package api

// GetProject is the project that a copy out of a container is about.
func (r *ReadTreeRequest) GetProject() string { return r.GetOf().GetProject() }

// GetProject is the project that a copy into containers is about, which its first message says.
func (r *WriteTree) GetProject() string { return r.GetStart().GetTo().GetProject() }

// GetProject is the project whose container an image is made of.
func (r *CommitRequest) GetProject() string { return r.GetOf().GetProject() }
