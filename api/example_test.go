package api_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/aistore-go/aistore/api"
	"github.com/aistore-go/aistore/cmn/wire"
)

// storeAndReadBack is the program of docs/go_client.md.
func storeAndReadBack(ctx context.Context, url string) error {
	client, err := api.New(api.Options{URL: url, Direct: true})
	if err != nil {
		return err
	}
	defer client.Close()

	bucket := wire.Bck{Name: "photos", Provider: wire.ProviderAIS}
	if err := client.CreateBucket(ctx, bucket, nil); err != nil && !api.IsConflict(err) {
		return err
	}
	for _, name := range []string{"2026/cat.txt", "2026/dog.txt"} {
		body := api.Bytes([]byte("this is " + name))
		if _, err := client.PutObject(ctx, bucket, name, api.PutArgs{Body: body}); err != nil {
			return err
		}
	}
	for entry, err := range client.Objects(ctx, bucket, wire.LsoMsg{Prefix: "2026/", Props: "name,size"}) {
		if err != nil {
			return err // a listing that breaks off never looks complete
		}
		fmt.Println(entry.Name, entry.Size)
	}
	var content bytes.Buffer
	if _, _, err := client.GetObject(ctx, bucket, "2026/cat.txt", &content, api.GetArgs{Validate: true}); err != nil {
		return err
	}
	fmt.Println(content.String())

	_, err = client.HeadObject(ctx, bucket, "2026/fox.txt", api.HeadArgs{})
	fmt.Println("fox:", api.HTTPStatus(err), api.IsNotFound(err))
	return client.DestroyBucket(ctx, bucket)
}

func Example() {
	if err := storeAndReadBack(context.Background(), os.Getenv("AIS_ENDPOINT")); err != nil {
		log.Fatal(err)
	}
}

// A file is sent as it is, with sendfile where the system has it, and sent
// again from its start when that is needed.
func ExampleFile() {
	bucket := wire.Bck{Name: "shards", Provider: wire.ProviderAIS}
	store := func(ctx context.Context, client *api.Client, path string) error {
		body, err := api.File(path)
		if err != nil {
			return err
		}
		_, err = client.PutObject(ctx, bucket, path, api.PutArgs{Body: body})
		return err
	}
	client, err := api.New(api.Options{URL: "127.0.0.1:8080"})
	if err != nil {
		log.Fatal(err)
	}
	err = store(context.Background(), client, "train-000.tar")
	client.Close()
	if err != nil {
		log.Fatal(err)
	}
}
