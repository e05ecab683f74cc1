#compdef topiq
# Completion of topiq for zsh: source <(topiq completion zsh), after compinit; or put this into a
# file called _topiq in a directory of $fpath.
_topiq() {
	local line
	local -a found
	for line in "${(@f)$("${words[1]}" __complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
		[[ -n $line ]] || continue
		if [[ $line == :files ]]; then
			_files
			return
		fi
		found+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
	done
	_describe topiq found
}
if [[ ${funcstack[1]} == _topiq ]]; then
	_topiq "$@"
else
	compdef _topiq topiq
fi
