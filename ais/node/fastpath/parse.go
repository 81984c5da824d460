package fastpath

import "bytes"

// Method is the method of a request that a Fast handler may see.
type Method uint8

// The methods. Other covers all that no Fast handler sees.
const (
	Other Method = iota
	Get
	Head
	Put
)

// Request is a request of the closed grammar. Its slices are parts of the
// connection's buffer: they are valid until the body is read or the handler
// returns, whichever is first.
type Request struct {
	Method Method
	Target []byte // path and query as they came
	Path   []byte // escaped
	Query  []byte // without the question mark

	// ContentLength is that of the body, 0 without one.
	ContentLength int64

	// Values of the listed headers, nil if absent.
	Host          []byte
	Range         []byte
	SmapVersion   []byte // Ais-Smap-Version
	ChecksumType  []byte // Ais-Checksum-Type
	ChecksumValue []byte // Ais-Checksum-Value

	size int  // of the header with its empty line, in bytes
	post bool // the method is POST, after which net/http forgives empty lines
}

// verdict is what is to be done with the bytes in the buffer.
type verdict uint8

const (
	incomplete verdict = iota // no whole header yet
	simple                    // of the closed grammar
	ordinary                  // well-formed, for the ordinary handler
	foreign                   // for net/http
)

// parse looks at the first request in buf. from is how many bytes were looked
// at before without finding the end. It does not allocate.
func (r *Request) parse(buf []byte, from int) verdict {
	start := max(0, from-3)
	end := bytes.Index(buf[start:], []byte("\r\n\r\n"))
	if end < 0 {
		if !mayBecome(buf) {
			return foreign
		}
		return incomplete
	}
	end += start
	*r = Request{size: end + 4}
	line, rest, ok := cutLine(buf[:end+2])
	if !ok {
		return foreign
	}
	v := r.requestLine(line)
	p := fields{request: r}
	for v != foreign && len(rest) > 0 {
		if line, rest, ok = cutLine(rest); !ok {
			return foreign
		}
		v = max(v, p.field(line))
	}
	if v == foreign {
		return foreign
	}
	return max(v, p.whole())
}

// mayBecome tells whether what has come so far can be the begin of a request
// with lines that end in CR LF. net/http takes others, too, and must see them
// at once.
func mayBecome(buf []byte) bool {
	if len(buf) > 0 && !isToken[buf[0]] {
		return false // TLS, an empty line
	}
	for rest := buf; ; {
		i := bytes.IndexByte(rest, '\n')
		if i < 0 {
			return true
		}
		if i == 0 || rest[i-1] != '\r' {
			return false
		}
		rest = rest[i+1:]
	}
}

// cutLine cuts a line that ends in CR LF; a CR or LF elsewhere is an error.
func cutLine(buf []byte) (line, rest []byte, ok bool) {
	i := bytes.IndexByte(buf, '\r')
	if i < 0 || i+1 >= len(buf) || buf[i+1] != '\n' || bytes.IndexByte(buf[:i], '\n') >= 0 {
		return nil, nil, false
	}
	return buf[:i], buf[i+2:], true
}

// requestLine parses "METHOD /path?query HTTP/1.1".
func (r *Request) requestLine(line []byte) verdict {
	const proto = " HTTP/1.1"
	method := bytes.IndexByte(line, ' ')
	if method <= 0 || len(line) < method+1+1+len(proto) || string(line[len(line)-len(proto):]) != proto {
		return foreign
	}
	r.Target = line[method+1 : len(line)-len(proto)]
	if r.Target[0] != '/' {
		return foreign // absolute form, authority form, asterisk
	}
	v := simple
	switch string(line[:method]) {
	case "GET":
		r.Method = Get
	case "HEAD":
		r.Method = Head
	case "PUT":
		r.Method = Put
	case "CONNECT", "PRI":
		return foreign
	default:
		for _, c := range line[:method] {
			if !isToken[c] {
				return foreign
			}
		}
		r.post = string(line[:method]) == "POST"
		v = ordinary
	}
	r.Path = r.Target
	for i, c := range r.Target {
		switch {
		case c <= ' ' || c == 0x7f:
			return foreign
		case c >= 0x80 || c == '#':
			v = ordinary
		case c == '?' && len(r.Path) == len(r.Target):
			r.Path, r.Query = r.Target[:i], r.Target[i+1:]
		}
	}
	return v
}

// fields is the state of the header of one request.
type fields struct {
	request *Request
	hosts   int
	length  bool
	chunked bool
}

// field parses one line of the header.
func (p *fields) field(line []byte) verdict {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return foreign
	}
	name, value := line[:colon], trim(line[colon+1:])
	for _, c := range name {
		if !isToken[c] {
			return foreign // blanks before the colon and continued lines are here, too
		}
	}
	for _, c := range value {
		if c < ' ' && c != '\t' || c == 0x7f {
			return foreign
		}
	}
	r := p.request
	switch len(name) {
	case 2:
		if equal(name, "te") {
			return ordinary
		}
	case 4:
		if equal(name, "host") {
			return p.host(value)
		}
	case 5:
		if equal(name, "range") {
			return once(&r.Range, value)
		}
	case 6:
		switch {
		case equal(name, "accept"):
			return simple
		case equal(name, "expect"):
			return foreign
		}
	case 7:
		switch {
		case equal(name, "referer"):
			return simple
		case equal(name, "upgrade"), equal(name, "trailer"):
			return foreign
		}
	case 10:
		switch {
		case equal(name, "user-agent"):
			return simple
		case equal(name, "connection"):
			return connection(value)
		}
	case 12:
		if equal(name, "content-type") {
			return simple
		}
	case 14:
		if equal(name, "content-length") {
			return p.contentLength(value)
		}
	case 15:
		if equal(name, "accept-encoding") || equal(name, "accept-language") {
			return simple
		}
	case 16:
		if equal(name, "ais-smap-version") {
			return once(&r.SmapVersion, value)
		}
	case 17:
		switch {
		case equal(name, "ais-checksum-type"):
			return once(&r.ChecksumType, value)
		case equal(name, "transfer-encoding"):
			if p.chunked || !equal(value, "chunked") {
				return foreign
			}
			p.chunked = true
			return ordinary
		}
	case 18:
		if equal(name, "ais-checksum-value") {
			return once(&r.ChecksumValue, value)
		}
	}
	return ordinary // it may mean something to the handler
}

// whole judges the header as a whole.
func (p *fields) whole() verdict {
	r := p.request
	switch {
	case p.hosts != 1, p.length && p.chunked:
		return foreign
	case r.Method != Put && r.ContentLength > 0, r.Method == Put && !p.length:
		return ordinary
	}
	return simple
}

func (p *fields) host(value []byte) verdict {
	p.hosts++
	p.request.Host = value
	for _, c := range value {
		if !isHost[c] {
			return foreign
		}
	}
	if len(value) == 0 {
		return ordinary
	}
	return simple
}

// connection parses the value of Connection: only one word is understood.
func connection(value []byte) verdict {
	switch {
	case equal(value, "keep-alive"):
		return simple
	case equal(value, "close"):
		return ordinary
	}
	return foreign
}

// maxLengthDigits keeps a Content-Length below 2^63.
const maxLengthDigits = 18

func (p *fields) contentLength(value []byte) verdict {
	if p.length || len(value) == 0 || len(value) > maxLengthDigits {
		return foreign
	}
	p.length = true
	var n int64
	for _, c := range value {
		if c < '0' || c > '9' {
			return foreign
		}
		n = n*10 + int64(c-'0')
	}
	p.request.ContentLength = n
	return simple
}

// once keeps a value that may come once; what a second one means the ordinary
// handler decides.
func once(into *[]byte, value []byte) verdict {
	if *into != nil {
		return ordinary
	}
	*into = value
	return simple
}

// equal compares with a lower-case text, ignoring the case of ASCII letters.
func equal(b []byte, lower string) bool {
	if len(b) != len(lower) {
		return false
	}
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// trim removes blanks and tabs at both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// isToken marks the bytes of RFC 9110 tokens, isHost those that net/http takes
// in a Host header.
var (
	isToken = alphanumericAnd("!#$%&'*+-.^_`|~")
	isHost  = alphanumericAnd("!$%&()*+,-.:;=[']_~")
)

func alphanumericAnd(more string) (set [256]bool) {
	for c := '0'; c <= '9'; c++ {
		set[c] = true
	}
	for c := 'a'; c <= 'z'; c++ {
		set[c], set[c-'a'+'A'] = true, true
	}
	for i := range len(more) {
		set[more[i]] = true
	}
	return set
}
