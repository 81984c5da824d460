package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// LsoFlags is the bit mask of a list-objects request. In JSON it is a string
// with the decimal number.
type LsoFlags uint64

// Flags of a list-objects request. The numbers are wire facts.
const (
	LsoCached          LsoFlags = 1 << iota // only objects in the cluster
	LsoMissing                              // also misplaced objects and replicas
	LsoDeleted                              // ignored
	LsoArchDir                              // content of archives; implies LsoCached
	LsoNameOnly                             // names and entry flags
	LsoNameSize                             // names, sizes and entry flags
	LsoBckPresent                           // the bucket must be registered
	LsoDontHeadRemote                       // tolerate 401 and 403 on lookup
	LsoDontAddRemote                        // do not register the bucket
	LsoNotCached                            // only objects not in the cluster
	LsoOnlyRemoteProps                      // hint, reserved
	LsoNoRecursion                          // one level; virtual directories are entries
	LsoDiff                                 // compare with the remote versions
	LsoNoDirs                               // no directories in remote listings
	LsoIsS3                                 // set by the S3 front end
	LsoInventory                            // list from a bucket inventory
)

// Has tells that all bits of f are set.
func (l LsoFlags) Has(f LsoFlags) bool { return l&f == f }

// MarshalJSON writes the decimal number as a string.
func (l LsoFlags) MarshalJSON() ([]byte, error) {
	b := append(make([]byte, 0, 22), '"')
	b = strconv.AppendUint(b, uint64(l), 10)
	return append(b, '"'), nil
}

// UnmarshalJSON reads a string with a decimal number. null leaves the value
// as it is; a bare number is an error.
func (l *LsoFlags) UnmarshalJSON(data []byte) error {
	s := string(data)
	if s == "null" {
		return nil
	}
	if len(s) < 3 || s[0] != '"' || s[len(s)-1] != '"' {
		return fmt.Errorf(`"flags" must be a string with a decimal number, such as "0" (have %.40s)`, s)
	}
	n, err := strconv.ParseUint(s[1:len(s)-1], 10, 64)
	if err != nil {
		return fmt.Errorf(`"flags" must be a string with a decimal number, such as "0" (have %.40s)`, s)
	}
	*l = LsoFlags(n)
	return nil
}

// LsoProps is the set of object properties that a listing delivers beyond the
// name and the entry flags.
type LsoProps uint32

// Properties of a listing.
const (
	LsoPropSize LsoProps = 1 << iota
	LsoPropChecksum
	LsoPropAtime
	LsoPropVersion
	LsoPropCached
	LsoPropStatus
	LsoPropCopies
	LsoPropEC
	LsoPropCustom
	LsoPropLocation
)

// Property strings that the normalization of a list message deals with.
const (
	LsoPropsName     = "name"
	LsoPropsNameSize = "name,size"
	LsoPropsDefault  = "name,size,cached"
	LsoPropsCached   = "name,size,checksum,atime"
)

// lsoPropNames is in the order of the bits.
var lsoPropNames = [...]string{"size", "checksum", "atime", "version", "cached", "status", "copies", "ec", "custom", "location"}

// ParseLsoProps returns the properties whose names occur in s. Unknown names
// are ignored. As the wire has it, a name matches anywhere in s: "checksum"
// selects "ec" too, which adds nothing to an entry.
func ParseLsoProps(s string) LsoProps {
	var p LsoProps
	for i, name := range lsoPropNames {
		if strings.Contains(s, name) {
			p |= 1 << i
		}
	}
	return p
}

// Has tells that all properties of q are in p.
func (p LsoProps) Has(q LsoProps) bool { return p&q == q }

// LsoMsg is the value of the action "list" on a bucket: one page of its
// objects, please. Every field may be missing or null.
type LsoMsg struct {
	UUID              string              `json:"uuid"`  // of the listing; empty on the first page
	Props             string              `json:"props"` // comma-separated names
	Prefix            string              `json:"prefix"`
	ContinuationToken string              `json:"continuation_token"`
	StartAfter        string              `json:"start_after,omitempty"` // exclusive
	Target            string              `json:"target"`                // asks the backend, remote listings only
	Flags             LsoFlags            `json:"flags"`
	PageSize          int64               `json:"pagesize"`              // entries, 0 = server's default
	TimeFormat        string              `json:"time_format,omitempty"` // Go layout of "atime"
	Header            map[string][]string `json:"hdr,omitempty"`
}

// Limits of a list message.
const (
	MaxLsoProps      = 1024
	MaxLsoToken      = 16384 // bytes, continuation_token and start_after: a name of 4096 bytes may have each of them escaped
	MaxLsoTimeFormat = 128
	MaxLsoHeaders    = 100
	DefaultPageSize  = 10000
)

// DefaultTimeFormat is the layout of "atime" when a message names none (RFC 822).
const DefaultTimeFormat = "02 Jan 06 15:04 MST"

// Normalize makes explicit what a list message implies. The gateway calls it
// once: of a prefix that ends in two stars a second call would drop the other.
//
//   - LsoArchDir switches LsoCached on;
//   - one trailing "*" of the prefix is dropped;
//   - empty props become "name,size,checksum,atime" with LsoCached, else
//     "name,size,cached" with LsoNameSize;
//   - props "name" and "name,size" switch LsoNameOnly and LsoNameSize on.
func (m *LsoMsg) Normalize() {
	if m.Flags.Has(LsoArchDir) {
		m.Flags |= LsoCached
	}
	m.Prefix = strings.TrimSuffix(m.Prefix, "*")
	switch m.Props {
	case "":
		if m.Flags.Has(LsoCached) {
			m.Props = LsoPropsCached
		} else {
			m.Props = LsoPropsDefault
			m.Flags |= LsoNameSize
		}
	case LsoPropsName:
		m.Flags |= LsoNameOnly
	case LsoPropsNameSize:
		m.Flags |= LsoNameSize
	}
}

// Want returns what the entries of a normalized message carry. LsoNameOnly
// and LsoNameSize win over the property string.
func (m *LsoMsg) Want() LsoProps {
	switch {
	case m.Flags.Has(LsoNameOnly):
		return 0
	case m.Flags.Has(LsoNameSize):
		return LsoPropSize
	default:
		return ParseLsoProps(m.Props)
	}
}

// Validate checks limits and combinations of a normalized message that hold
// for every bucket. remote tells a bucket that is listed at a backend.
func (m *LsoMsg) Validate(remote bool) error {
	cached := m.Flags.Has(LsoCached)
	notCached := m.Flags.Has(LsoNotCached)
	switch {
	case m.PageSize < 0:
		return fmt.Errorf("invalid \"pagesize\" %d: must not be negative", m.PageSize)
	case len(m.Props) > MaxLsoProps:
		return tooLong("props", len(m.Props), MaxLsoProps)
	case len(m.ContinuationToken) > MaxLsoToken:
		return tooLong("continuation_token", len(m.ContinuationToken), MaxLsoToken)
	case len(m.StartAfter) > MaxLsoToken:
		return tooLong("start_after", len(m.StartAfter), MaxLsoToken)
	case len(m.TimeFormat) > MaxLsoTimeFormat:
		return tooLong("time_format", len(m.TimeFormat), MaxLsoTimeFormat)
	case len(m.Header) > MaxLsoHeaders:
		return tooLong("hdr", len(m.Header), MaxLsoHeaders)
	case notCached && cached:
		return errors.New("list flags \"cached\" and \"not-cached\" exclude each other")
	case notCached && !remote:
		return errors.New("list flag \"not-cached\" needs a remote bucket")
	case m.StartAfter != "" && remote && !cached:
		return errors.New("\"start_after\" needs an in-cluster listing (flag \"cached\") when the bucket is remote")
	case m.Flags.Has(LsoDiff) && (cached || notCached):
		return errors.New("list flag \"diff\" excludes \"cached\" and \"not-cached\"")
	case m.Flags.Has(LsoDiff) && !remote:
		return errors.New("list flag \"diff\" needs a bucket with remote versions")
	case m.Flags.Has(LsoDiff) && !m.Want().Has(LsoPropCustom):
		return errors.New("list flag \"diff\" needs the property \"custom\"")
	}
	return nil
}

func tooLong(field string, have, limit int) error {
	return fmt.Errorf("invalid %q: too long: %d > %d(max length)", field, have, limit)
}
