// Verifies zTOCs with soci-snapshotter's own reader.
//
//	go run . LAYER ZTOC [LAYER ZTOC]...
//	go run . build LAYER ZTOC
//
// Verifies the table of contents, the digest and the contents of each span, and the contents of each file. With EXTRACT
// set, also extracts each file with the function of soci's command. `build` writes soci's own zTOC of a layer. To run
// the program, copy it to an empty directory, run `go mod init verify` and
// `go get github.com/awslabs/soci-snapshotter@v0.15.0`, and set GOFLAGS=-mod=mod, which adds missing sums of modules. cgo
// requires the static library of zlib.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"os"

	"github.com/awslabs/soci-snapshotter/cache"
	spanmanager "github.com/awslabs/soci-snapshotter/fs/span-manager"
	"github.com/awslabs/soci-snapshotter/ztoc"
	"github.com/awslabs/soci-snapshotter/ztoc/compression"
	"github.com/opencontainers/go-digest"
)

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func read(path string) *ztoc.Ztoc {
	data, err := os.ReadFile(path)
	check(err)
	parsed, err := ztoc.Unmarshal(bytes.NewReader(data))
	check(err)
	return parsed
}

func verify(layer, path string) {
	z := read(path)
	info, err := os.Stat(layer)
	check(err)
	if int64(z.CompressedArchiveSize) != info.Size() {
		panic("size")
	}
	file, err := os.Open(layer)
	check(err)
	defer file.Close()
	blob := io.NewSectionReader(file, 0, info.Size())

	// The table of contents is the one that soci builds, in the same order.
	own, tarSize, err := tocBuilder().TocFromFile(compression.Gzip, layer)
	check(err)
	if tarSize > z.UncompressedArchiveSize {
		panic(fmt.Sprintf("uncompressed size %d, soci %d", z.UncompressedArchiveSize, tarSize))
	}
	if len(own.FileMetadata) != len(z.FileMetadata) {
		panic(fmt.Sprintf("%d entries, soci has %d", len(z.FileMetadata), len(own.FileMetadata)))
	}
	encoded, _, err := ztoc.Marshal(&ztoc.Ztoc{TOC: own}) // equalizes the representations of times
	check(err)
	ownZtoc, err := ztoc.Unmarshal(encoded)
	check(err)
	own = ownZtoc.TOC
	for i := range own.FileMetadata {
		if len(own.FileMetadata[i].Xattrs()) != 0 {
			panic("extended attributes")
		}
		own.FileMetadata[i].PAXHeaders = nil // only extended attributes are used
		if !own.FileMetadata[i].Equal(z.FileMetadata[i]) {
			fmt.Printf("%+v\n%+v\n", own.FileMetadata[i], z.FileMetadata[i])
			panic("entry differs")
		}
	}

	// Every span: digest, and contents equal to the tar.
	zinfo, err := z.Zinfo()
	check(err)
	gz, err := gzip.NewReader(io.NewSectionReader(file, 0, info.Size()))
	check(err)
	largest := int64(0)
	for i := compression.SpanID(0); i <= z.MaxSpanID; i++ {
		start, end := zinfo.StartCompressedOffset(i), zinfo.EndCompressedOffset(i, z.CompressedArchiveSize)
		packed := make([]byte, end-start)
		_, err := blob.ReadAt(packed, int64(start))
		check(err)
		if digest.FromBytes(packed) != z.SpanDigests[i] {
			panic("digest of span")
		}
		from, to := zinfo.StartUncompressedOffset(i), zinfo.EndUncompressedOffset(i, z.UncompressedArchiveSize)
		data, err := zinfo.ExtractDataFromBuffer(packed, to-from, from, i)
		check(err)
		want := make([]byte, to-from)
		_, err = io.ReadFull(gz, want)
		check(err)
		if !bytes.Equal(data, want) {
			panic(fmt.Sprintf("contents of span %d", i))
		}
		largest = max(largest, int64(to-from))
	}
	if n, _ := gz.Read(make([]byte, 1)); n != 0 {
		panic("tar is longer")
	}
	zinfo.Close()

	// Every file, with the reader of the command and with the span manager of the snapshotter.
	manager, err := spanmanager.New(read(path), blob, cache.NewMemoryCache(), 0, digest.Digest(""))
	check(err)
	for i := range z.SpanDigests {
		check(manager.ResolveSpan(compression.SpanID(i)))
	}
	gz, err = gzip.NewReader(io.NewSectionReader(file, 0, info.Size()))
	check(err)
	tr := tar.NewReader(gz)
	files := 0
	for i := 0; ; i++ {
		header, err := tr.Next()
		if err == io.EOF {
			break
		}
		check(err)
		entry := z.FileMetadata[i]
		if header.Typeflag != tar.TypeReg {
			continue
		}
		hash := sha256.New()
		_, err = io.Copy(hash, tr)
		check(err)
		r, err := manager.GetContents(entry.UncompressedOffset, entry.UncompressedOffset+entry.UncompressedSize)
		check(err)
		other := sha256.New()
		_, err = io.Copy(other, r)
		check(err)
		if !bytes.Equal(hash.Sum(nil), other.Sum(nil)) {
			panic("span manager: " + header.Name)
		}
		if os.Getenv("EXTRACT") != "" {
			extracted, err := (*z).ExtractFile(blob, header.Name)
			check(err)
			sum := sha256.Sum256(extracted)
			if !bytes.Equal(hash.Sum(nil), sum[:]) {
				panic("ExtractFile: " + header.Name)
			}
		}
		files++
	}
	fmt.Printf("ok %s: %d files, %d spans, largest span %.1f MB, zTOC %.2f%%\n", layer, files, z.MaxSpanID+1, float64(largest)/1e6, 100*float64(size(path))/float64(info.Size()))
}

func size(path string) int64 {
	info, err := os.Stat(path)
	check(err)
	return info.Size()
}

// build writes soci's own zTOC of a layer.
func build(layer, path string) {
	own, err := ztoc.NewBuilder("rules_bento").BuildZtoc(layer, 4<<20)
	check(err)
	encoded, _, err := ztoc.Marshal(own)
	check(err)
	data, err := io.ReadAll(encoded)
	check(err)
	check(os.WriteFile(path, data, 0o644))
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == "build" {
		build(os.Args[2], os.Args[3])
		return
	}
	for i := 1; i+1 < len(os.Args); i += 2 {
		verify(os.Args[i], os.Args[i+1])
	}
}

func tocBuilder() ztoc.TocBuilder {
	builder := ztoc.NewTocBuilder()
	builder.RegisterTarProvider(compression.Gzip, ztoc.TarProviderGzip)
	return builder
}
