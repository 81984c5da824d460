package wire

import "strings"

// Providers in canonical form.
const (
	ProviderAIS   = "ais"
	ProviderAWS   = "aws"
	ProviderGCP   = "gcp"
	ProviderAzure = "azure"
	ProviderOCI   = "oci"
)

// NsGlobalUname is the unique name of the global namespace.
const NsGlobalUname = "@#"

// Ns is a namespace: UUID is a remote cluster (empty for this one), Name a
// local subdivision. The zero value is the global namespace.
type Ns struct {
	UUID string `json:"uuid"`
	Name string `json:"name"`
}

// Uname is the form used in unique names and in queries: "@uuid#name".
func (n Ns) Uname() string {
	if n == (Ns{}) {
		return NsGlobalUname
	}
	return "@" + n.UUID + "#" + n.Name
}

// String is the form used in display names: "", "#name", "@uuid", "@uuid#name".
func (n Ns) String() string {
	switch {
	case n == (Ns{}):
		return ""
	case n.Name == "":
		return "@" + n.UUID
	case n.UUID == "":
		return "#" + n.Name
	default:
		return "@" + n.UUID + "#" + n.Name
	}
}

// ParseNs parses the query form "[@]uuid[#name]": one leading "@" is optional;
// without a "#" the whole value is the UUID.
func ParseNs(s string) Ns {
	s = strings.TrimPrefix(s, "@")
	uuid, name, _ := strings.Cut(s, "#")
	return Ns{UUID: uuid, Name: name}
}

// Bck identifies a bucket. Provider is canonical; an empty provider in a
// message means ProviderAIS (see NormalizeProvider).
type Bck struct {
	Name     string `json:"name"`
	Provider string `json:"provider"`
	Ns       Ns     `json:"namespace"`
}

// NormalizeProvider returns the canonical form of a provider or one of its
// aliases; ok is false if it is neither. The empty provider is ProviderAIS.
func NormalizeProvider(p string) (canonical string, ok bool) {
	switch p {
	case "", ProviderAIS:
		return ProviderAIS, true
	case ProviderAWS, "s3":
		return ProviderAWS, true
	case ProviderGCP, "gs":
		return ProviderGCP, true
	case ProviderAzure, "az":
		return ProviderAzure, true
	case ProviderOCI, "oc":
		return ProviderOCI, true
	}
	return "", false
}

// Scheme is the provider as it stands in display names.
func Scheme(provider string) string {
	switch provider {
	case ProviderAWS:
		return "s3"
	case ProviderGCP:
		return "gs"
	case ProviderAzure:
		return "az"
	case ProviderOCI:
		return "oc"
	case "":
		return ProviderAIS
	}
	return provider
}

// IsAIS tells a bucket that this cluster itself owns.
func (b Bck) IsAIS() bool { return b.Provider == ProviderAIS && b.Ns.UUID == "" }

// IsCloud tells a bucket of a cloud provider.
func (b Bck) IsCloud() bool { return b.Provider != ProviderAIS && b.Provider != "" }

// String is the canonical display name: "ais://#ns/name". Error messages
// must contain it: clients search for it.
func (b Bck) String() string {
	ns := b.Ns.String()
	if ns != "" {
		ns += "/"
	}
	return Scheme(b.Provider) + "://" + ns + b.Name
}

// Cname is the canonical display name of an object of this bucket.
func (b Bck) Cname(object string) string { return b.String() + "/" + object }

// Uname is the unique name: "provider/@uuid#ns/bucket/object". With an empty
// object it is that of the bucket and ends in a slash. It feeds the placement
// hash.
func (b Bck) Uname(object string) string {
	return b.Provider + "/" + b.Ns.Uname() + "/" + b.Name + "/" + object
}

// AppendUname appends Uname(object) to dst.
func (b Bck) AppendUname(dst []byte, object string) []byte {
	dst = append(dst, b.Provider...)
	if b.Ns == (Ns{}) {
		dst = append(dst, "/@#/"...)
	} else {
		dst = append(dst, "/@"...)
		dst = append(dst, b.Ns.UUID...)
		dst = append(dst, '#')
		dst = append(dst, b.Ns.Name...)
		dst = append(dst, '/')
	}
	dst = append(dst, b.Name...)
	dst = append(dst, '/')
	return append(dst, object...)
}
