#!/bin/sh
# slot.sh FILE: prints the slot that the BootFile FILE says, as a script in an initramfs would.
boot=$1
. "$boot"
slot=$current
if [ -n "$try" ]; then
	slot=$try
	printf 'current=%s\ntry=\n' "$current" >"$boot.tmp" && sync "$boot.tmp" &&
		mv "$boot.tmp" "$boot" && sync "$(dirname "$boot")" || slot=$current
fi
echo "$slot"
