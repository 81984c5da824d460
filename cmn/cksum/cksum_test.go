package cksum

import "testing"

// The vectors are what clients of the REST API compute.
func TestVectors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ kind, data, want string }{
		{XXHash, "hello world", "45ab6734b21e6968"},
		{XXHash2, "hello world", "45ab6734b21e6968"},
		{XXHash2, "", "ef46db3751d8e999"},
		{XXHash2, "0123456789\n", "05967d5390ac53b0"},
		{MD5, "hello world", "5eb63bbbe01eeed093cb22bb8f5acdc3"},
		{MD5, "", "d41d8cd98f00b204e9800998ecf8427e"},
		{CRC32C, "hello world", "c99465aa"},
		{CRC32C, "", "00000000"},
		{SHA256, "hello world", "b94d27b9934d3e08a52e52d7da7dabfac484efe37a5380ee9088f7ace2efcde9"},
		{SHA512, "hello world", "309ecc489c12d6eb4cc40f50c902f2b4d0ed77ee511a7c7a9bcd3ca86d4cd86f989dd35bc5ff499670da34255b45b0cfd830e81f605dcf7dc5542e93ae9cd76f"},
	} {
		got, err := Of(tc.kind, []byte(tc.data))
		if err != nil || got.Value != tc.want || got.Type != tc.kind {
			t.Errorf("Of(%s, %q) = %v, %v; want %s", tc.kind, tc.data, got, err, tc.want)
		}
	}
	if _, err := New("xxhash3"); err == nil {
		t.Error("an unknown type is accepted")
	}
	if h, err := New(None); h != nil || err != nil {
		t.Errorf("New(none) = %v, %v", h, err)
	}
}

func TestEqual(t *testing.T) {
	t.Parallel()
	a := Value{XXHash, "45ab6734b21e6968"}
	for _, tc := range []struct {
		name string
		b    Value
		want bool
	}{
		{"same", a, true},
		{"other name of the algorithm", Value{XXHash2, a.Value}, true},
		{"other type", Value{MD5, a.Value}, false},
		{"upper case", Value{XXHash, "45AB6734B21E6968"}, false},
		{"none", Value{}, false},
	} {
		if a.Equal(tc.b) != tc.want {
			t.Errorf("%s: Equal = %v", tc.name, !tc.want)
		}
	}
	if (Value{}).Equal(Value{}) {
		t.Error("two absent checksums are equal")
	}
}
