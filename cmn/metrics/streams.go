package metrics

// StreamCounts are what the streams between targets did since the start, as
// docs/observability.md lists them.
type StreamCounts struct {
	Streams     int64 // open now
	Connections int64 // now, of both directions

	OutMessages, OutBytes int64
	InMessages, InBytes   int64
	Failed                int64
	Resent                int64
	Later                 int64
	Duplicates            int64
	Broken                int64
	DialFailed            int64

	WireOut, WireIn   int64
	RawOut, PackedOut int64
}

// SetStreams hands over where the counts of the streams come from; they are
// asked for when somebody looks.
func (r *Registry) SetStreams(counts func() StreamCounts) { r.streams.Store(&counts) }

func (r *Registry) countStreams() {
	counts := r.streams.Load()
	if counts == nil {
		return
	}
	c := (*counts)()
	for id, value := range map[id]int64{
		streamsOpen: c.Streams, streamConns: c.Connections,
		streamOutCount: c.OutMessages, streamOutBytes: c.OutBytes, streamInCount: c.InMessages, streamInBytes: c.InBytes,
		streamErrors: c.Failed, streamResent: c.Resent, streamLater: c.Later, streamDuplicates: c.Duplicates,
		streamBroken: c.Broken, streamDialFailed: c.DialFailed,
		streamWireOut: c.WireOut, streamWireIn: c.WireIn, streamRaw: c.RawOut, streamPacked: c.PackedOut,
	} {
		r.plain[id].Store(value)
	}
}
