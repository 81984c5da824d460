package load

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
)

var (
	headerLength        = []byte("content-length:")
	headerLocation      = []byte("location:")
	headerConnection    = []byte("connection:")
	headerEncoding      = []byte("transfer-encoding:")
	headerChecksumType  = []byte("ais-checksum-type:")
	headerChecksumValue = []byte("ais-checksum-value:")
)

// receiveHeader reads the status line and the header, over interim answers
// (1xx) on its way.
func (c *Conn) receiveHeader(resp *Response) (closing, chunked bool, err error) {
	for resp.Status < 200 {
		if closing, chunked, err = c.receiveOneHeader(resp); err != nil {
			return closing, chunked, err
		}
	}
	return closing, chunked, nil
}

func (c *Conn) receiveOneHeader(resp *Response) (closing, chunked bool, err error) {
	line, err := c.reader.ReadSlice('\n')
	if err != nil {
		return false, false, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.")) {
		return false, false, fmt.Errorf("malformed status line %q", line)
	}
	if resp.Status = int(decimal(line[9:12])); resp.Status < 100 {
		return false, false, fmt.Errorf("malformed status line %q", line)
	}
	closing = line[7] == '0' // HTTP/1.0
	resp.Length = -1
	for read := 0; ; {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return false, false, err
		}
		if read += len(line); read > maxHeader {
			return false, false, errors.New("the header is too long")
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			return closing, chunked, nil
		}
		switch line[0] | 0x20 { // most lines are of no interest
		case 'c', 'l', 't', 'a':
		default:
			continue
		}
		switch {
		case hasName(line, headerLength):
			if resp.Length = decimal(value(line)); resp.Length < 0 {
				return false, false, fmt.Errorf("malformed header %q", line)
			}
		case hasName(line, headerLocation):
			c.kept.location = append(c.kept.location[:0], value(line)...)
			resp.Location = c.kept.location
		case hasName(line, headerConnection):
			closing = bytes.EqualFold(value(line), []byte("close"))
		case hasName(line, headerChecksumType):
			c.kept.checksumType = append(c.kept.checksumType[:0], value(line)...)
			resp.ChecksumType = c.kept.checksumType
		case hasName(line, headerChecksumValue):
			c.kept.checksumValue = append(c.kept.checksumValue[:0], value(line)...)
			resp.ChecksumValue = c.kept.checksumValue
		case hasName(line, headerEncoding):
			if chunked = bytes.EqualFold(value(line), []byte("chunked")); !chunked {
				return false, false, fmt.Errorf("unexpected %q", line)
			}
		}
	}
}

// receiveBody reads the body to its end: kept, hashed, or thrown away.
func (c *Conn) receiveBody(r *Request, resp *Response, chunked bool) error {
	if r.Method == "HEAD" || resp.Status == 204 || resp.Status == 304 {
		return nil
	}
	keep := r.Keep || resp.Status >= 400
	if r.Verify && resp.Status < 300 {
		if err := c.verify.begin(resp.ChecksumType); err != nil {
			return err
		}
	} else {
		c.verify.end()
	}
	c.kept.body = c.kept.body[:0]
	var err error
	switch {
	case chunked:
		err = c.receiveChunks(keep, resp)
	case resp.Length >= 0:
		err = c.receiveBytes(resp.Length, keep, resp)
	default:
		return errors.New("an answer without Content-Length")
	}
	resp.Body = c.kept.body
	if err == nil && r.Verify && resp.Status < 300 {
		err = c.verify.compare(resp.ChecksumValue)
	}
	return err
}

func (c *Conn) receiveBytes(left int64, keep bool, resp *Response) error {
	if len(c.scratch) == 0 && left > 0 {
		c.scratch = make([]byte, readBuffer)
	}
	for left > 0 {
		if !keep && !c.verify.active && c.raw != nil && c.reader.Buffered() == 0 && left >= skipFrom {
			n, err := c.skip.discard(c.raw, left)
			resp.Bytes += n
			return err
		}
		n, err := c.reader.Read(c.scratch[:min(left, readBuffer)])
		left -= int64(n)
		resp.Bytes += int64(n)
		c.verify.write(c.scratch[:n])
		if keep {
			if len(c.kept.body)+n > maxKept {
				return fmt.Errorf("an answer of more than %d bytes", maxKept)
			}
			c.kept.body = append(c.kept.body, c.scratch[:n]...)
		}
		if err != nil && left > 0 {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
	}
	return nil
}

func (c *Conn) receiveChunks(keep bool, resp *Response) error {
	for {
		line, err := c.reader.ReadSlice('\n')
		if err != nil {
			return err
		}
		digits, _, _ := bytes.Cut(bytes.TrimRight(line, "\r\n"), []byte(";"))
		size, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 64)
		if err != nil || size < 0 {
			return fmt.Errorf("malformed chunk size %q", line)
		}
		if size > 0 {
			if err := c.receiveBytes(size, keep, resp); err != nil {
				return err
			}
		}
		// The end of a chunk, or the trailer behind the last.
		for {
			if line, err = c.reader.ReadSlice('\n'); err != nil {
				return err
			}
			if size > 0 || len(bytes.TrimRight(line, "\r\n")) == 0 {
				break
			}
		}
		if size == 0 {
			return nil
		}
	}
}

// decimal reads a number without allocating; -1 if it is none.
func decimal(text []byte) int64 {
	if len(text) == 0 || len(text) > 18 {
		return -1
	}
	n := int64(0)
	for _, digit := range text {
		if digit < '0' || digit > '9' {
			return -1
		}
		n = n*10 + int64(digit-'0')
	}
	return n
}

func hasName(line, name []byte) bool {
	return len(line) > len(name) && bytes.EqualFold(line[:len(name)], name)
}

func value(line []byte) []byte {
	return bytes.TrimSpace(line[bytes.IndexByte(line, ':')+1:])
}
