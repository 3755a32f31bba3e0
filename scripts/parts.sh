# Runs a job in named parts, goes on when one fails, and tells at the end what each took. Sourced by test and soak.
# shellcheck shell=bash

part_lines=()
part_failures=0
part_log=$(mktemp)

# part NAME COMMAND...: runs the command and notes its time and result
part() {
    local name=$1 began=$SECONDS result=ok
    shift
    printf '\n== %s\n' "$name"
    if ! "$@" 2>&1 | tee -a "$part_log"; then
        result=FAILED
        part_failures=$((part_failures + 1))
    fi
    part_lines+=("$(awk -v n="$name" -v s=$((SECONDS - began)) -v r=$result 'BEGIN { printf "%6.1f min  %-22s %s", s / 60, n, r }')")
}

# report: minutes per part, the closing lines of the test runners, their sum; returns whether all is well
report() {
    printf '\n== minutes per part\n'
    printf '%s\n' "${part_lines[@]}"
    printf '\n== closing lines\n'
    grep -E '^test result: |^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s' "$part_log" || true
    awk -v parts="$part_failures" '
        /^test result: / || /^(=+ )?[0-9]+ (passed|failed|error).* in [0-9.]+s/ {
            for (i = 2; i <= NF; i++) {
                if ($i ~ /^passed/) passed += $(i - 1)
                if ($i ~ /^(failed|errors?)/) failed += $(i - 1)
                if ($i ~ /^(ignored|skipped)/) skipped += $(i - 1)
            }
        }
        END {
            if (parts > 0) printf "%d part(s) failed\n", parts
            if (parts > 0 && failed == 0) failed = parts
            printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
        }' "$part_log"
    rm -f "$part_log"
    [ "$part_failures" = 0 ]
}
