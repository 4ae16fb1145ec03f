"""From one video to one clip: frames, their times, sound; with ffmpeg or with PyAV."""
