package work

// appendEscaped appends a name as a path of a URL: unreserved characters and
// slashes are themselves.
func appendEscaped(to, name []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range name {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '/', c == '-', c == '_', c == '.', c == '~':
			to = append(to, c)
		default:
			to = append(to, '%', digits[c>>4], digits[c&15])
		}
	}
	return to
}
