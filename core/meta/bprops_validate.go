package meta

import (
	"net/url"
	"path/filepath"
	"strings"

	"github.com/aistore-go/aistore/cmn/apierr"
	"github.com/aistore-go/aistore/cmn/config/dotted"
	"github.com/aistore-go/aistore/cmn/feature"
	"github.com/aistore-go/aistore/cmn/unit"
	"github.com/aistore-go/aistore/cmn/wire"
)

// Limits of the extra properties.
const (
	maxExtraCustom    = 128
	maxExtraProfile   = 256
	maxExtraRegion    = 64
	maxExtraPageSize  = 10000
	minMultipartSize  = 5 * unit.MiB
	maxMultipartSize  = 5 * unit.GiB
	maxExtraTextBytes = 1024 // endpoints and paths
)

// Validate puts defaults in the place of zeros, clears features that no
// bucket can have, and checks all properties. The error is a 400 that names
// the property and what is accepted.
func (p *Bprops) Validate() error {
	p.Features &= feature.BucketScope
	checks := []func() error{
		p.validateBackend,
		p.Checksum.Validate,
		p.Mirror.ValidateBucket,
		p.EC.ValidateBucket,
		p.validateChunks,
		p.LRU.Validate,
		p.validateEviction,
		p.WritePolicy.Validate,
		p.RateLimit.Validate,
		p.Features.Validate,
		p.validateDurability,
		p.Extra.validate,
	}
	for _, check := range checks {
		if err := check(); err != nil {
			return err
		}
	}
	if p.Provider == wire.ProviderAWS {
		return p.Extra.AWS.validate()
	}
	return nil
}

// validateEviction refuses what would take the owner's part alone of objects whose
// parts are spread over targets.
func (p *Bprops) validateEviction() error {
	if p.LRU.Enabled && p.EC.Enabled && p.Provider == wire.ProviderAIS && !p.HasBackend() {
		return apierr.BadRequest("lru.enabled and ec.enabled: objects of an erasure-coded bucket without a backend are not evicted")
	}
	return nil
}

func (p *Bprops) validateBackend() error {
	b := &p.BackendBck
	if *b == (wire.Bck{}) {
		return nil
	}
	if p.Provider != wire.ProviderAIS {
		return apierr.BadRequest("invalid backend_bck: only a bucket of provider %q can have a backend (this one has %q)", wire.ProviderAIS, p.Provider)
	}
	if b.Name == "" || b.Provider == "" {
		return apierr.BadRequest("invalid backend_bck %q: name and provider must both be set, or both be empty", b.String())
	}
	provider, ok := wire.NormalizeProvider(b.Provider)
	if !ok {
		return apierr.New(400, wire.CodeInvalidProvider, "invalid backend_bck.provider %q", clipText(b.Provider))
	}
	b.Provider = provider
	if b.IsAIS() {
		return apierr.BadRequest("invalid backend_bck %q: it must be a remote bucket", b.String())
	}
	return nil
}

func (p *Bprops) validateChunks() error {
	if err := p.Chunks.Validate(); err != nil {
		return err
	}
	if p.Mirror.Enabled && p.Chunks.ObjSizeLimit > 0 {
		return apierr.BadRequest("mirror.enabled and chunks.objsize_limit=%s exclude each other", p.Chunks.ObjSizeLimit)
	}
	return nil
}

func (p *Bprops) validateDurability() error {
	switch p.Durability {
	case DurabilitySync, DurabilityNone, DurabilityRedundant:
		return nil
	}
	return apierr.BadRequest("invalid durability %q (expecting one of [%s %s %s])",
		clipText(p.Durability), DurabilitySync, DurabilityNone, DurabilityRedundant)
}

func (e *ExtraProps) validate() error {
	if len(e.Custom) > maxExtraCustom || strings.ContainsFunc(e.Custom, isControl) {
		return apierr.BadRequest("invalid extra.custom: expecting at most %d bytes without control characters", maxExtraCustom)
	}
	if path := e.GCP.ApplicationCreds; path != "" &&
		(len(path) > maxExtraTextBytes || !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.ContainsFunc(path, isControl)) {
		return apierr.BadRequest("invalid extra.gcp.application_creds %q (expecting a clean absolute path)", clipText(path))
	}
	return validateTrimmed("extra.oci.region", e.OCI.Region, maxExtraRegion)
}

func (e *ExtraAWS) validate() error {
	if err := validateTrimmed("extra.aws.cloud_region", e.CloudRegion, maxExtraRegion); err != nil {
		return err
	}
	if err := validateTrimmed("extra.aws.profile", e.Profile, maxExtraProfile); err != nil {
		return err
	}
	if e.Endpoint != "" {
		u, err := url.Parse(e.Endpoint)
		if err != nil || len(e.Endpoint) > maxExtraTextBytes || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return apierr.BadRequest("invalid extra.aws.endpoint %q (expecting an http or https URL with a host)", clipText(e.Endpoint))
		}
	}
	if e.MaxPageSize < 0 || e.MaxPageSize > maxExtraPageSize {
		return apierr.BadRequest("invalid extra.aws.max_pagesize %d (expecting 0 to %d)", e.MaxPageSize, maxExtraPageSize)
	}
	if s := e.MultipartSize; s != -1 && s != 0 && (s < minMultipartSize || s > maxMultipartSize) {
		return apierr.BadRequest("invalid extra.aws.multipart_size %s (expecting -1, 0, or %s to %s)", s, minMultipartSize, maxMultipartSize)
	}
	return nil
}

func validateTrimmed(key, text string, limit int) error {
	if len(text) > limit || strings.TrimSpace(text) != text || strings.ContainsFunc(text, isControl) {
		return apierr.BadRequest("invalid %s %q (expecting at most %d characters without surrounding blanks)", key, clipText(text), limit)
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// merge copies what is set.
func (p *Bprops) merge(set *BpropsToSet) {
	if set == nil {
		return
	}
	detached := set.BackendBck != nil && set.BackendBck.detaches()
	dotted.Merge(p, set)
	if detached && p.BackendBck.Ns == (wire.Ns{}) {
		p.BackendBck = wire.Bck{}
	}
}
