# Completion of topiq for bash: source <(topiq completion bash)
_topiq() {
	local line
	COMPREPLY=()
	while IFS= read -r line; do
		if [[ $line == :files ]]; then
			compopt -o filenames 2>/dev/null
			while IFS= read -r line; do
				COMPREPLY+=("$line")
			done < <(compgen -f -- "$2")
			return
		fi
		COMPREPLY+=("${line%%$'\t'*}")
	done < <("$1" __complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -F _topiq topiq
