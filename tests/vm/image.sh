#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Make the guest's kernel and initramfs in the cache folder $1, unless they
# stand there, and print where. Exit 77 if the kernel package cannot be had.
set -euo pipefail

here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
cache=$1
export PATH=$PATH:/usr/sbin:/sbin
# sch_netem loses packets; rxe needs crc32_generic's crc32.
modules="virtio_pci virtio_console 9pnet_virtio 9p overlay veth bridge
	crc32_generic rdma_rxe ib_umad rdma_ucm sch_netem"
# There when guest.sh -M asks: disks, and cards of one's own.
on_demand="crc32c_generic virtio_blk ext4 vfio-pci vfio_iommu_type1 e1000e"
# Kept in the guest's memory with their libraries: over 9p each start of a
# program costs up to a second of emulation.
hot=$(PATH=$PATH:/usr/sbin:/sbin; for p in bash ip rdma tc sleep cat grep \
	timeout; do command -v "$p"; done
	for f in /usr/lib/x86_64-linux-gnu/libibverbs/librxe-rdmav*.so \
		/usr/lib/x86_64-linux-gnu/librdmacm.so.1; do
		[ ! -f "$f" ] || echo "$f"
	done)

say() {
	echo "guest: $*" >&2
}

# The cloud flavour has no rdma_rxe.
package=${HS_VM_KERNEL:-$(apt-cache depends linux-image-amd64 2>/dev/null |
	awk '$1 == "Depends:" { print $2; exit }')}
if [ -z "$package" ]; then
	# The package lists are gone; an earlier kernel serves as well.
	package=$(cd "$cache" 2>/dev/null && ls -d linux-image-*/ok 2>/dev/null |
		tail -1 | sed 's,/ok$,,') || true
fi
[ -n "$package" ] || exit 77

key=$({ echo "$package $modules $on_demand"
	cat "$here/image.sh"
	stat -Lc '%n %Y %s' $hot; } | sha256sum | cut -c1-16)
out=$cache/image-$key
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
if [ -f "$out/ok" ]; then
	echo "$out"
	exit 0
fi
work=$(mktemp -d "$cache/build.XXXXXX")
trap 'rm -rf "$work"' EXIT

# The ELF kernel within the bzImage: QEMU boots it by PVH, which saves the
# emulated decompression. (An xz payload; the boot protocol says where.)
unpack_kernel() {
	python3 - "$1" "$2" <<-'PY'
		import lzma, struct, sys
		d = open(sys.argv[1], 'rb').read()
		offset, size = struct.unpack_from('<II', d, 0x248)
		begin = (d[0x1f1] + 1) * 512 + offset
		elf = lzma.LZMADecompressor().decompress(d[begin:begin + size])
		open(sys.argv[2], 'wb').write(elf)
	PY
}

kernel=$cache/$package
if [ ! -f "$kernel/ok" ]; then
	say "fetching $package"
	(cd "$work" && apt-get download -q "$package" >&2) || exit 77
	rm -rf "$kernel"
	dpkg-deb -x "$work"/linux-image-*.deb "$kernel"
	rm -f "$work"/*.deb
	depmod -b "$kernel" "$(ls "$kernel/lib/modules")"
	unpack_kernel "$kernel"/boot/vmlinuz-* "$kernel/vmlinux"
	touch "$kernel/ok"
fi

root=$work/root
version=$(ls "$kernel/lib/modules")
mkdir -p "$root"/{bin,proc,sys,dev,new,host,hot,work,drivers} \
	"$root/lib/modules/$version" "$work/image"
cp "$(command -v busybox)" "$root/bin/busybox"
for module in $modules $on_demand; do
	modprobe -d "$kernel" -S "$version" -D "$module"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$work/list"
# Without signatures, which are slow to check here.
while read -r file; do
	to=$root/lib/modules/$version/$(basename "$file" .xz)
	case $file in
	*.xz) xz -dc "$file" >"$to" ;;
	*) cp "$file" "$to" ;;
	esac
	strip --strip-debug "$to"
done <"$work/list"
cp "$kernel/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} \
	"$root/lib/modules/$version/"
depmod -b "$root" "$version"
for file in $hot $(ldd $hot | awk '/=> \//{print $3} $1 ~ /^\/lib64/{print $1}' |
	sort -u) /etc/ld.so.cache; do
	folder=$root/hot$(readlink -f "$(dirname "$file")")
	mkdir -p "$folder"
	cp -L "$file" "$folder/"
done
echo $modules >"$root/modules"
# Only the one driver: libibverbs loads every provider that is named.
cp /etc/libibverbs.d/rxe.driver "$root/drivers/"
cp "$here/init.sh" "$root/init"
chmod +x "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/image/initrd"
ln -s "$kernel/vmlinux" "$work/image/vmlinux"
touch "$work/image/ok"
rm -rf "$out"
mv "$work/image" "$out"
echo "$out"
